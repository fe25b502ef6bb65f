"""What the client says when servers misbehave: nothing was sent, or nobody knows."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trio

from protocols.errors import AnswerTooLarge, BadAnswer, HttpClientError, NothingSent, UnknownAfterSend, UnsafeHeader
from protocols.http_client.client import HttpClient
from protocols.http_client.limits import ClientLimits
from tests.protocols.serving import Certificates, open_site

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def open_script(talk: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that does with each connection what the script says."""

    async def one(stream: trio.SocketStream) -> None:
        try:
            await talk(stream)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, one, 0)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_answer(raw: bytes) -> AsyncIterator[str]:
    """A server that answers any bytes with `raw` and closes."""

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(raw)
        await stream.send_eof()
        while await stream.receive_some():
            pass

    async with open_script(talk) as url:
        yield url


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (OK, 200, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", 200, b""),
    ],
)
async def test_answers_of_every_shape_are_understood(raw: bytes, status: int, body: bytes) -> None:
    async with open_answer(raw) as url, HttpClient() as client:
        answer = await client.request("GET", url)
        assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", UnknownAfterSend),
        (b"HTTP/1.1 200 OK\r\nContent-Le", UnknownAfterSend),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", UnknownAfterSend),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", UnknownAfterSend),
        (b"HTTP/1.1 100 Continue\r\n\r\n", UnknownAfterSend),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BadAnswer),
        (b"HTTP/2.0 200 OK\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 2000 OK\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", UnknownAfterSend),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, BadAnswer),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", AnswerTooLarge),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101 + b"\r\n", AnswerTooLarge),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, AnswerTooLarge),
    ],
)
async def test_what_is_no_answer_leaves_the_outcome_unknown(raw: bytes, error: type[Exception]) -> None:
    async with open_answer(raw) as url, HttpClient() as client:
        with pytest.raises(UnknownAfterSend) as caught:
            await client.request("POST", url, body=b"x", body_bytes=100)
        assert type(caught.value) is error
        assert not isinstance(caught.value, NothingSent)


async def test_a_get_on_a_connection_that_closes_under_it_is_repeated_but_a_post_is_not() -> None:
    seen: list[bytes] = []

    async def talk(stream: trio.SocketStream) -> None:
        # Answers once, and closes when the second request of the connection arrives.
        seen.append((await stream.receive_some())[:4])
        await stream.send_all(OK)
        seen.append((await stream.receive_some())[:4] + b"!")

    async with open_script(talk) as url, HttpClient() as client:
        assert (await client.request("GET", url)).body == b"ok"
        assert (await client.request("GET", url)).body == b"ok"
        assert seen == [b"GET ", b"GET !", b"GET "]
        with pytest.raises(UnknownAfterSend):
            await client.request("POST", url, body=b"x")
        assert seen[3:] == [b"POST!"]


async def test_a_connection_with_something_unasked_on_it_is_not_used_again() -> None:
    connections = 0

    async def talk(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        while await stream.receive_some():
            await stream.send_all(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    async with open_script(talk) as url, HttpClient() as client:
        for _ in range(3):
            assert (await client.request("POST", url, body=b"x")).body == b"ok"
        assert connections == 3


async def test_an_early_answer_to_a_large_upload_is_heard() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await trio.sleep_forever()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            await trio.lowlevel.checkpoint()
            yield bytes(65536)

    async with open_script(talk) as url, HttpClient() as client:
        for body in (bytes(30_000_000), endless()):
            with trio.fail_after(60):
                assert (await client.request("POST", url, body=body)).status == 413


async def test_an_upload_that_fails_raises_its_own_error() -> None:
    async def failing() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b"first"
        raise ZeroDivisionError

    async def talk(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            pass

    async with open_script(talk) as url, HttpClient() as client:
        with pytest.raises(ZeroDivisionError):
            await client.request("POST", url, body=failing())


async def test_leaving_a_stream_early_closes_the_connection() -> None:
    closed = trio.Event()

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        try:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await stream.send_all(b"4\r\ntick\r\n")
                await trio.lowlevel.checkpoint()
        finally:
            closed.set()

    async with open_script(talk) as url, HttpClient() as client:
        async with client.stream("GET", url) as answer:
            assert (await anext(answer)).startswith(b"tick")
        with trio.fail_after(60):
            await closed.wait()


async def test_an_idle_connection_is_not_trusted_beyond_what_the_server_announced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    connections = 0

    async def talk(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        while await stream.receive_some():
            await stream.send_all(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\nContent-Length: 0\r\n\r\n")

    async with open_script(talk) as url, HttpClient(limits=ClientLimits(idle_seconds=60)) as client:
        for pause in (1, 1, 2.5):
            await client.request("POST", url)
            await trio.sleep(pause)
        assert connections == 1
        await client.request("POST", url)
        assert connections == 2


async def test_a_cancelled_request_gives_up_its_connection() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await trio.sleep_forever()

    limits = ClientLimits(connections_per_origin=1)
    async with open_script(talk) as url, HttpClient(limits=limits) as client:
        for _ in range(3):
            with trio.move_on_after(0.02) as scope:
                await client.request("POST", url, body=b"x")
            assert scope.cancelled_caught


@pytest.mark.parametrize("header", [("X-A", "b\r\nEvil: 1"), ("X A", "b"), ("X-A", "\0")])
async def test_a_header_that_would_split_the_request_is_refused(header: tuple[str, str]) -> None:
    async with open_answer(OK) as url, HttpClient() as client:
        with pytest.raises(UnsafeHeader):
            await client.request("GET", url, headers=(header,))


async def test_a_certificate_that_nobody_vouches_for_is_nothing_sent(tmp_path: Path) -> None:
    async with open_site(tls=Certificates(tmp_path).server) as site, HttpClient() as client:
        with pytest.raises(NothingSent, match="certificate"):
            await client.request("GET", f"https://127.0.0.1:{site.port}/")
        with pytest.raises(HttpClientError):
            await client.request("GET", f"http://127.0.0.1:{site.port}/")


class Plain(BaseHTTPRequestHandler):
    """The standard library's server, HTTP/1.1 with keep-alive."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(self.path.encode())
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


async def test_another_implementations_server_is_understood() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            async with HttpClient() as client:
                url = f"http://localhost:{server.server_port}/a%20b?c=d"
                for n in range(3):
                    assert (await client.request("POST", url, body=b"%d" % n)).body == b"%d" % n
                assert (await client.request("GET", url)).body == b"/a%20b?c=d"
        finally:
            server.shutdown()


async def test_a_request_cancelled_at_any_moment_leaks_no_connection() -> None:
    """One connection is all the client may have: if a cancelled request kept it, the next would hang."""

    async def talk(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            await trio.lowlevel.checkpoint()
            await stream.send_all(b"0\r\n\r\n")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            yield b"piece"

    async def cancel_later(scope: trio.CancelScope, steps: int) -> None:
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    limits = ClientLimits(connections_per_origin=1)
    async with open_script(talk) as url, HttpClient(limits=limits) as client:
        for steps in range(25):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_later, nursery.cancel_scope, steps)
                await client.request("POST", url, body=pieces() if steps % 2 else b"x")
            with trio.fail_after(60):
                assert (await client.request("POST", url, body=b"x")).body == b"ok"
            assert [pool.in_use for pool in client._pools.values()] == [0]


async def test_without_a_free_descriptor_nothing_was_sent() -> None:
    async with open_answer(OK) as url, HttpClient() as client:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            with pytest.raises(NothingSent, match="No socket can be opened"):
                await client.request("POST", url, body=b"hello")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (await client.request("POST", url, body=b"hello")).status == 200
