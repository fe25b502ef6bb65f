"""WebSocket over real sockets: our server and client, and each against another implementation."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
import websockets.sync.client

from protocols.errors import HandshakeRefused, WebSocketClosed
from protocols.hub.exchange import Exchange
from protocols.transport.pipes import PlainPipe
from protocols.transport.stream import PipeStream
from protocols.websocket.client import open_websocket
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.limits import WebSocketLimits
from protocols.websocket.server import accept_websocket
from tests.protocols.serving import Certificates, RawClient, Site, open_site

LIMITS = WebSocketLimits(message_bytes=1000, close_seconds=0.5)


async def echo(connection: WebSocketConnection) -> None:
    async for message in connection:
        await connection.send(message)


class Room:
    """A site that speaks WebSocket, and how its last connection ended."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.url = f"ws://127.0.0.1:{site.port}/chat?x=1"
        # As many connections as one test opens.
        self._end, self._ends = trio.open_memory_channel[str](16)

    def ended(self, how: str) -> None:
        self._end.send_nowait(how)

    async def end(self) -> str:
        """How the next connection to end did: "end", a refusal's status, or a close code."""
        with trio.fail_after(60):
            return await self._ends.receive()


@asynccontextmanager
async def open_room(
    talk: Callable[[WebSocketConnection], Awaitable[None]] = echo, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Room]:
    async with trio.open_nursery() as nursery:

        async def serve(exchange: Exchange) -> None:
            try:
                async with accept_websocket(exchange, subprotocols=("v1",), limits=LIMITS) as connection:
                    await talk(connection)
                room.ended("end")
            except HandshakeRefused as refused:
                room.ended(str(refused.status))
            except WebSocketClosed as closed:
                room.ended(str(closed.code))

        site_with_room = open_site(lambda exchange: nursery.start_soon(serve, exchange), tls=tls)  # noqa: ASYNC113
        async with site_with_room as site:
            room = Room(site)
            yield room
        nursery.cancel_scope.cancel()


def upgrade_head(*, key: bytes = base64.b64encode(bytes(16)), version: bytes = b"13") -> bytes:
    return (
        b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: %b\r\n\r\n" % (key, version)
    )


def frame(opcode: int, payload: bytes, *, fin: int = 0x80, masked: bool = True) -> bytes:
    """One frame of less than 64 KiB, masked with zeros."""
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    if not masked:
        return bytes([fin | opcode]) + size + payload
    return bytes([fin | opcode, size[0] | 0x80]) + size[1:] + bytes(4) + payload


async def past_the_switch(client: RawClient) -> bytes:
    """Read the 101 and return what followed."""
    got = b""
    with trio.fail_after(60):
        while b"\r\n\r\n" not in got:
            got += await client.stream.receive_some()
    head, _, rest = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return rest


async def test_messages_go_both_ways_and_the_farewell_is_orderly() -> None:
    async with open_room() as room:
        async with open_websocket(room.url, subprotocols=("v0", "v1")) as connection:
            assert connection.subprotocol == "v1"
            for message in ("héllo", b"\x00\xff", "", "x" * 1000):
                await connection.send(message)
                assert await connection.receive() == message
        with pytest.raises(WebSocketClosed):
            await connection.send("too late")
        assert await room.end() == "end"


async def test_a_frame_that_comes_together_with_the_upgrade_is_answered() -> None:
    async with open_room() as room, await room.site.connect() as client:
        await client.send_all(upgrade_head() + frame(1, b"early"))
        got = await past_the_switch(client)
        with trio.fail_after(60):
            while len(got) < 7:
                got += await client.stream.receive_some()
        assert got == frame(1, b"early", masked=False)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(1, b"unmasked", masked=False), 1002),
        (frame(3, b"reserved opcode"), 1002),
        (frame(0, b"continuation of nothing"), 1002),
        (frame(9, b"a ping in pieces", fin=0), 1002),
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, b"x" * 1001), 1009),
        (frame(1, b"x" * 600, fin=0) + frame(0, b"x" * 600), 1009),
        (frame(8, b"\x03"), 1002),
        (frame(8, b"\x03\xed"), 1002),
    ],
)
async def test_what_breaks_the_rules_is_closed_with_its_code(sent: bytes, code: int) -> None:
    async with open_room() as room, await room.site.connect() as client:
        await client.send_all(upgrade_head() + sent)
        got = await past_the_switch(client) + await client.rest()
        assert got[:1] == b"\x88"
        assert int.from_bytes(got[2:4], "big") == code


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (upgrade_head(version=b"8"), 426),
        (upgrade_head(key=b"short"), 400),
        (upgrade_head(key=b"!" * 24), 400),
        (upgrade_head().replace(b"GET", b"POST"), 426),
    ],
)
async def test_a_bad_handshake_is_a_problem_document(head: bytes, status: int) -> None:
    async with open_room() as room, await room.site.connect() as client:
        await client.send_all(head)
        answer = await client.answer()
        assert answer.status == status
        assert answer.headers.get("content-type") == "application/problem+json"
        assert answer.headers.get("upgrade") == "websocket" and answer.headers.has_token("connection", "upgrade")
        assert await room.end() == str(status)


async def test_pings_are_answered_between_fragments() -> None:
    async with open_room() as room, await room.site.connect() as client:
        await client.send_all(upgrade_head() + frame(1, b"he", fin=0) + frame(9, b"?") + frame(0, b"llo"))
        got = await past_the_switch(client)
        with trio.fail_after(60):
            while len(got) < 10:
                got += await client.stream.receive_some()
        assert got == frame(10, b"?", masked=False) + frame(1, b"hello", masked=False)


async def test_a_flood_of_frames_lets_other_tasks_have_their_turn_between_them() -> None:
    turns, messages = [0], []

    async def talk(connection: WebSocketConnection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            async for message in connection:
                messages.append((message, turns[0]))
            nursery.cancel_scope.cancel()

    async def others() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns[0] += 1

    async with open_room(talk) as room, await room.site.connect() as client:
        await client.send_all(upgrade_head())
        await past_the_switch(client)
        await client.send_all(frame(1, b"first") + frame(10, b"") * 5000 + frame(1, b"last") + frame(8, b""))
        assert await room.end() == "end"
    assert [message for message, _ in messages] == ["first", "last"]
    assert messages[1][1] - messages[0][1] >= 10


async def test_what_came_behind_the_frame_for_which_we_close_counts_no_more() -> None:
    heard: list[str | bytes] = []

    async def talk(connection: WebSocketConnection) -> None:
        heard.append(await connection.receive())
        await connection.close(1008)
        heard.append(await connection.receive())

    async with open_room(talk) as room, await room.site.connect() as client:
        await client.send_all(upgrade_head() + frame(1, b"one") + frame(1, b"two"))
        assert await room.end() == "1006"
    assert heard == ["one"]


async def test_a_peer_that_breaks_off_is_code_1006() -> None:
    async with open_room() as room:
        async with await room.site.connect() as client:
            await client.send_all(upgrade_head())
            await past_the_switch(client)
        assert await room.end() == "1006"


async def test_a_server_that_fails_says_1011_and_that_it_goes_away_1001() -> None:
    async def fail(connection: WebSocketConnection) -> None:
        await connection.receive()
        raise WebSocketClosed(1011)

    async with open_room(fail) as room, open_websocket(room.url) as connection:
        await connection.send("go")
        with pytest.raises(WebSocketClosed) as caught:
            await connection.receive()
        assert caught.value.code == 1011


async def test_what_arrived_before_the_connection_broke_is_received() -> None:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    connection = WebSocketConnection(PipeStream(PlainPipe(ours)), server=True)
    got: list[str | bytes] = []

    async def receive() -> None:
        got.append(await connection.receive())

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0):
            await connection.send("x" * 10_000_000)  # more than a peer that does not read can be sent
        peer.sendall(frame(9, b"ping") + frame(1, b"the last word"))
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        peer.close()
    assert got == ["the last word"]
    with pytest.raises(WebSocketClosed):
        await connection.receive()
    connection.abort()


async def test_several_tasks_may_close_and_the_farewell_of_the_first_is_heard_out() -> None:
    codes: list[int] = []
    asked = trio.Event()

    async def close(connection: WebSocketConnection, code: int) -> None:
        await connection.close(code)
        assert connection.closed is not None
        codes.append(connection.closed.code)

    async def hurried(connection: WebSocketConnection) -> None:
        async with trio.open_nursery() as nursery:
            for code in (1008, 1001, 1013):
                nursery.start_soon(close, connection, code)
                await trio.testing.wait_all_tasks_blocked()
            asked.set()

    async with open_room(hurried) as room, await room.site.connect() as client:
        await client.send_all(upgrade_head())
        got = await past_the_switch(client)
        with trio.fail_after(60):
            while len(got) < 4:
                got += await client.stream.receive_some()
            await asked.wait()
        assert got == frame(8, b"\x03\xf0", masked=False)
        await client.send_all(frame(8, b"\x03\xf0"))
        assert await room.end() == "end"
    assert codes == [1008, 1008, 1008]


async def test_one_task_may_close_what_another_begins_to_read_from_meanwhile() -> None:
    async def busy(connection: WebSocketConnection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.close, 1001)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(WebSocketClosed):
                await connection.receive()

    async with open_room(busy) as room, await room.site.connect() as client:
        await client.send_all(upgrade_head())
        await past_the_switch(client)
        assert await room.end() == "end"


async def test_many_tasks_may_send_at_once() -> None:
    async def flood(connection: WebSocketConnection) -> None:
        async with trio.open_nursery() as nursery:
            for n in range(10):
                nursery.start_soon(connection.send, str(n) * 100_000)

    async with open_room(flood) as room, open_websocket(room.url) as connection:
        connection._machine._message_bytes = 200_000
        got = [await connection.receive() for _ in range(10)]
        assert sorted(message[:1] for message in got) == sorted(str(n) for n in range(10))
        assert {len(message) for message in got} == {100_000}


async def test_another_implementations_client_gets_its_echo() -> None:
    def talk(url: str) -> list[str | bytes]:
        with websockets.sync.client.connect(url, subprotocols=["v1"]) as client:  # type: ignore[list-item]
            got = []
            for message in ("hello", b"\x01\x02", "x" * 1000):
                client.send(message)
                got.append(client.recv())
            return got

    async with open_room() as room:
        assert await trio.to_thread.run_sync(talk, room.url) == ["hello", b"\x01\x02", "x" * 1000]
        assert await room.end() == "end"


async def test_websocket_works_over_tls(tmp_path: Path) -> None:
    tls = Certificates(tmp_path)
    async with open_room(tls=tls.server) as room:
        url = room.url.replace("ws://", "wss://")
        async with open_websocket(url, tls=tls.client) as connection:
            await connection.send("x" * 1000)
            assert await connection.receive() == "x" * 1000
        assert await room.end() == "end"


async def test_a_server_that_does_not_switch_is_a_refused_handshake() -> None:
    async with open_site() as site:
        with pytest.raises(HandshakeRefused) as caught:
            async with open_websocket(f"ws://127.0.0.1:{site.port}/"):
                pass
        assert caught.value.status == 200
