"""The hub over real sockets on loopback: one request, one answer, in order, within bounds."""

from __future__ import annotations

import socket
import struct

import trio

from protocols.http1.messages import Response
from protocols.hub.exchange import Exchange
from tests.protocols.serving import GET, RawClient, open_site


async def test_a_request_is_answered_and_the_connection_is_kept() -> None:
    async with open_site() as site, await site.connect() as client:
        for _ in range(3):
            await client.send_all(GET)
            assert (await client.answer()).status == 200


async def test_an_answer_may_come_later_and_from_anywhere() -> None:
    waiting: list[Exchange] = []
    async with open_site(waiting.append) as site, await site.connect() as client:
        await client.send_all(GET)
        await trio.testing.wait_all_tasks_blocked(0.01)
        waiting.pop().answer(Response(202, (), b"later"))
        assert (await client.answer()).body == b"later"


async def test_pipelined_requests_are_answered_one_after_the_other() -> None:
    arrive, arrivals = trio.open_memory_channel[Exchange](1)
    async with open_site(arrive.send_nowait) as site, await site.connect() as client:
        await client.send_all(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50)))
        for n in range(50):
            exchange = await arrivals.receive()
            assert exchange.request.path == f"/{n}"
            exchange.answer(Response(200, (), exchange.request.path.encode()))
            assert (await client.answer()).body == b"/%d" % n


def crash(exchange: Exchange) -> None:
    raise RuntimeError("a bug in the application")


async def test_a_dispatch_that_raises_is_a_500_and_the_hub_goes_on() -> None:
    async with open_site(crash) as site:
        for _ in range(2):
            async with await site.connect() as client:
                await client.send_all(GET)
                assert (await client.answer()).status == 500
        assert [type(event).__name__ for event in site.events] == ["DispatchCrashed"] * 2


async def test_draining_closes_idle_connections_and_finishes_running_exchanges() -> None:
    waiting: list[Exchange] = []
    async with open_site(waiting.append) as site:
        async with await site.connect() as idle, await site.connect() as busy:
            await busy.send_all(GET)
            await trio.testing.wait_all_tasks_blocked(0.01)
            site.hub.drain()
            assert await idle.rest() == b""
            waiting.pop().answer(Response(200, (), b"done"))
            answer = await busy.answer()
            assert answer.body == b"done"
            assert answer.headers.has_token("connection", "close")
            assert await busy.rest() == b""
        with trio.fail_after(60):
            await site.over.wait()


def reset(client: RawClient) -> None:
    """Leave without a farewell, as a process does that is killed."""
    assert isinstance(client.stream, trio.SocketStream)
    client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.stream.socket.close()


async def test_draining_is_finished_when_every_request_that_was_read_is_answered() -> None:
    waiting: list[Exchange] = []
    finished = trio.Event()

    async def finish() -> None:
        await site.hub.finished()
        finished.set()

    async with (
        open_site(waiting.append) as site,
        trio.open_nursery() as nursery,
        await site.connect() as busy,
        await site.connect() as gone,
        await site.connect() as half,
    ):
        await busy.send_all(GET)
        await gone.send_all(GET)
        await half.send_all(GET[:-2])
        await trio.testing.wait_all_tasks_blocked(0.01)
        site.hub.drain()
        nursery.start_soon(finish)
        reset(gone)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not finished.is_set()
        next(exchange for exchange in waiting if not exchange.gone).answer(Response(200, (), b"done"))
        with trio.fail_after(60):
            await finished.wait()
        assert (await busy.answer()).body == b"done"


async def test_a_streamed_answer_arrives_in_pieces_and_ends() -> None:
    async with trio.open_nursery() as nursery:

        async def stream(exchange: Exchange) -> None:
            async with exchange.stream(200, (("Content-Type", "text/event-stream"),)) as body:
                for n in range(3):
                    await body.send(b"data: %d\n\n" % n)

        site_with_streams = open_site(lambda exchange: nursery.start_soon(stream, exchange))
        async with site_with_streams as site, await site.connect() as client:
            for _ in range(2):
                await client.send_all(GET)
                assert (await client.answer()).body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
