"""What clients do with connections: half-close, vanish, crowd, upgrade, send anything."""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

import httpx  # noqa: ASYNC127
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import AlreadyAnswered, ClientGone, ListenError, UnsafeHeader
from protocols.http1 import heads_h11, heads_httptools
from protocols.http1.heads import ReadHead
from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Response
from protocols.http_client.client import HttpClient
from protocols.hub.events import AcceptPaused, ConnectionCrashed, ConnectionTurnedAway
from protocols.hub.exchange import Exchange
from protocols.transport.listeners import Listener, adopt, open_tcp, open_unix
from tests.protocols.serving import GET, RawClient, hello, open_site

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


# ── who goes away ───────────────────────────────────────────────────────


async def test_a_half_closed_client_still_gets_its_answer() -> None:
    waiting: list[Exchange] = []
    told: list[str] = []
    async with open_site(waiting.append) as site, await site.connect() as client:
        await client.send_all(GET + GET)
        await settle()
        waiting[0].on_hangup(lambda: told.append("hung up"))
        await client.stream.send_eof()
        for _ in range(2):
            await settle()
            assert waiting[-1].hung_up
            assert not waiting[-1].gone
            waiting.pop().answer(Response(200, (), b"for you"))
            assert (await client.answer()).body == b"for you"
        assert await client.rest() == b""
    assert told == ["hung up"]


async def test_half_a_request_and_an_end_is_400() -> None:
    async with open_site() as site, await site.connect() as client:
        await client.send_all(GET[:-2])
        await client.stream.send_eof()
        assert (await client.answer()).status == 400
        assert await client.rest() == b""


async def test_a_reset_tells_the_exchange_that_its_client_is_gone() -> None:
    waiting: list[Exchange] = []
    told: list[str] = []
    async with open_site(waiting.append) as site:
        client = await site.connect()
        await client.send_all(GET)
        await settle()
        exchange = waiting[0]
        exchange.on_gone(lambda: told.append("gone"))
        exchange.on_hangup(lambda: told.append("hung up"))
        reset(client)
        await settle()
        assert exchange.gone
        assert told == ["gone", "hung up"]
        exchange.on_gone(lambda: told.append("at once"))
        assert told == ["gone", "hung up", "at once"]
        exchange.answer(Response(200))
        assert site.hub.open_connections == 0


async def test_a_callback_that_raises_harms_nobody_else() -> None:
    waiting: list[Exchange] = []
    told: list[str] = []
    async with open_site(waiting.append) as site, await site.connect() as other:
        async with await site.connect() as client:
            await client.send_all(GET)
            await settle()
            waiting[0].on_gone(lambda: told.index("missing"))
            waiting[0].on_gone(lambda: told.append("the next one"))
            reset(client)
        await settle()
        assert told == ["the next one"]
        assert [type(event) for event in site.events] == [ConnectionCrashed]
        await other.send_all(GET)
        await settle()
        waiting[1].answer(Response(200, (), b"fine"))
        assert (await other.answer()).body == b"fine"


def reset(client: RawClient) -> None:
    """Close with RST, as a process does that is killed with unread data."""
    assert isinstance(client.stream, trio.SocketStream)
    client.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.stream.socket.close()


async def test_a_stream_ends_with_client_gone_when_its_reader_leaves() -> None:
    ended = trio.Event()
    async with trio.open_nursery() as nursery:

        async def stream(exchange: Exchange) -> None:
            with pytest.raises(ClientGone):
                async with exchange.stream(200) as body:
                    while True:
                        await body.send(b"tick")
            ended.set()

        async with open_site(lambda exchange: nursery.start_soon(stream, exchange)) as site:
            async with await site.connect() as client:
                await client.send_all(GET)
                await client.stream.receive_some()
            with trio.fail_after(60):
                await ended.wait()


async def test_a_stream_that_fails_is_cut_and_not_ended() -> None:
    async with trio.open_nursery() as nursery:

        async def stream(exchange: Exchange) -> None:
            try:
                async with exchange.stream(200) as body:
                    await body.send(b"half")
                    raise RuntimeError("a bug")
            except RuntimeError:
                pass

        streaming = open_site(lambda exchange: nursery.start_soon(stream, exchange))
        async with streaming as site, await site.connect() as client:
            await client.send_all(GET)
            got = await client.rest()
            assert b"half" in got
            assert not got.endswith(b"0\r\n\r\n")


# ── one answer ──────────────────────────────────────────────────────────


async def test_a_second_answer_is_a_bug_that_is_named() -> None:
    def twice(exchange: Exchange) -> None:
        exchange.answer(Response(200, (), b"once"))
        with pytest.raises(AlreadyAnswered):
            exchange.answer(Response(200, (), b"twice"))
        with pytest.raises(AlreadyAnswered):
            exchange.upgrade()

    async with open_site(twice) as site, await site.connect() as client:
        await client.send_all(GET)
        assert (await client.answer()).body == b"once"
        assert site.events == []


@pytest.mark.parametrize("bad", [("X-A", "b\r\nSet-Cookie: c"), ("X A", "b"), ("X-A", "\0"), ("", "b"), ("X-A", "é…")])
async def test_a_header_that_would_split_the_answer_is_a_500(bad: tuple[str, str]) -> None:
    async with open_site(lambda exchange: exchange.answer(Response(200, (bad,)))) as site:
        async with await site.connect() as client:
            await client.send_all(GET)
            assert (await client.answer()).status == 500
        assert isinstance(site.events[0].error, UnsafeHeader)  # type: ignore[union-attr]


async def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    async with open_site() as site, await site.connect() as client:
        for _ in range(2):
            await client.send_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await client.answer("HEAD")
            assert (answer.body, answer.headers.get("content-length")) == (b"", "5")


async def test_a_body_that_is_expected_is_asked_for() -> None:
    repeating = open_site(lambda e: e.answer(Response(200, (), e.request.body)))
    async with repeating as site, await site.connect() as client:
        await client.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await client.stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send_all(b"hi")
        assert (await client.answer()).body == b"hi"


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    async with open_site(limits=HttpLimits(body_bytes=10)) as site, await site.connect() as client:
        await client.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.answer()).status == 413


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async with (
        open_site(limits=HttpLimits(body_bytes=10)) as site,
        await site.connect() as client,
        trio.open_nursery() as nursery,
    ):

        async def send() -> None:
            try:
                await client.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
                await client.send_all(bytes(2_000_000))
            except trio.BrokenResourceError:
                pass

        nursery.start_soon(send)
        assert (await client.answer()).status == 413


async def test_http_1_0_is_answered_and_closed() -> None:
    async with open_site() as site, await site.connect() as client:
        await client.send_all(b"GET / HTTP/1.0\r\n\r\n")
        got = await client.rest()
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.endswith(b"\r\n\r\nhello")


async def test_a_client_that_pipelines_without_end_is_slowed_down() -> None:
    waiting: list[Exchange] = []
    limits = HttpLimits(pipelined_bytes=4096)
    async with open_site(waiting.append, limits=limits) as site, await site.connect() as client:
        with trio.move_on_after(0.3) as scope:
            while True:
                await client.send_all(GET * 10_000)
        assert scope.cancelled_caught
        connection = next(iter(site.hub._state.connections.values()))
        assert len(connection.reader.buffered) < 4096 + 2 * 65536
        assert len(waiting) == 1


# ── crowds ──────────────────────────────────────────────────────────────


async def test_connections_beyond_the_bounds_are_turned_away_with_503() -> None:
    for limits in (HttpLimits(connections=2), HttpLimits(connections_per_address=2)):
        async with open_site(limits=limits) as site:
            async with await site.connect() as one, await site.connect(), await site.connect() as third:
                assert (await third.rest()).startswith(b"HTTP/1.1 503 ")
                await one.send_all(GET)
                assert (await one.answer()).status == 200
            await settle()
            assert [type(event) for event in site.events] == [ConnectionTurnedAway]
            async with await site.connect() as again:
                await again.send_all(GET)
                assert (await again.answer()).status == 200


class Exhausted:
    """A listening socket on a system that has no descriptor left, once."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._sock.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


async def test_accepting_pauses_when_descriptors_run_out_and_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    listener = Listener(Exhausted(open_tcp("127.0.0.1", 0)[0].socket))  # type: ignore[arg-type]
    async with open_site(listener=listener) as site, await site.connect() as client:
        await client.send_all(GET)
        assert (await client.answer()).status == 200
        assert [type(event) for event in site.events] == [AcceptPaused]


# ── other sockets and protocols ─────────────────────────────────────────


async def test_a_unix_socket_serves_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    open_unix(path).socket.close()
    listener = open_unix(path)
    assert path.stat().st_mode & 0o777 == 0o600
    peers = []

    def dispatch(exchange: Exchange) -> None:
        peers.append(exchange.request.peer)
        hello(exchange)

    async with open_site(dispatch, listener=listener) as site:
        async with await site.connect() as client:
            await client.send_all(GET)
            assert (await client.answer()).body == b"hello"
        async with HttpClient(unix_path=path) as ours:
            assert (await ours.request("GET", "http://oclaw/status")).body == b"hello"
        with pytest.raises(ListenError, match="another process"):
            open_unix(path)
    assert peers[0].is_unix
    assert peers[0].is_loopback


async def test_ipv6_is_served_and_named_with_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    listener = open_tcp("::1", 0)[0]
    async with open_site(listener=listener) as site, HttpClient() as client:
        assert site.address == f"[::1]:{site.port}"
        assert (await client.request("GET", f"http://{site.address}/")).body == b"hello"


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_host_to_listen_on_that_is_none_is_named(host: str) -> None:
    with pytest.raises(ListenError, match=f"{host}:0: the host name does not resolve"):
        open_tcp(host, 0)


async def test_a_port_in_use_is_one_clear_error() -> None:
    async with open_site() as site:
        with pytest.raises(ListenError, match=f"127.0.0.1:{site.port}"):
            open_tcp("127.0.0.1", site.port)


async def test_sockets_from_a_supervisor_are_adopted() -> None:
    opened = open_tcp("127.0.0.1", 0)[0].socket
    listener = adopt([os.dup(opened.fileno())])[0]
    opened.close()
    async with open_site(listener=listener) as site, await site.connect() as client:
        await client.send_all(GET)
        assert (await client.answer()).status == 200
    with socket.socket() as not_listening, pytest.raises(ListenError):
        adopt([os.dup(not_listening.fileno())])


async def test_an_upgrade_hands_over_the_bytes_that_came_with_it() -> None:
    async with trio.open_nursery() as nursery:

        async def take_over(exchange: Exchange) -> None:
            async with exchange.upgrade() as stream:
                await stream.send_all(b"switched ")
                while piece := await stream.receive_some(3):
                    await stream.send_all(piece.upper())

        upgrading = open_site(lambda exchange: nursery.start_soon(take_over, exchange))
        async with upgrading as site, await site.connect() as client:
            await client.send_all(GET + b"tail bytes")
            await client.stream.send_eof()
            assert await client.rest() == b"switched TAIL BYTES"
            await settle()
            assert site.hub.open_connections == 0


# ── others ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("parser", [heads_h11.read_head, heads_httptools.read_head])
async def test_another_implementations_client_is_served(parser: ReadHead) -> None:
    def talk(url: str) -> list[bytes]:
        def pieces() -> object:
            yield b"chunk one, "
            yield b"chunk two"

        with httpx.Client() as client:
            return [
                client.post(url, content=b"plain").content,
                client.post(url, content=pieces()).content,  # type: ignore[arg-type]
                client.get(url).content,
            ]

    async with open_site(lambda e: e.answer(Response(200, (), e.request.body)), read_head=parser) as site:
        got = await trio.to_thread.run_sync(talk, f"http://127.0.0.1:{site.port}/x")
        assert got == [b"plain", b"chunk one, chunk two", b""]


@settings(max_examples=60, deadline=None)
@given(raw=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([GET, PREFACE, b"\r\n\r\n"])), max_size=6))
def test_nothing_that_arrives_makes_the_hub_raise(raw: list[bytes]) -> None:
    async def main() -> None:
        async with open_site(limits=HttpLimits(linger_seconds=0.01)) as site:
            async with await site.connect() as client:
                await fuzz(client)
            async with await site.connect() as client:
                await client.send_all(GET)
                assert (await client.answer()).status == 200

    async def fuzz(client: RawClient) -> None:
        try:
            for piece in raw:
                await client.send_all(piece)
            await client.stream.send_eof()
        except trio.BrokenResourceError:
            return
        await client.rest()

    trio.run(main)
