"""Two of our connections talk through small windows: whatever the order of tasks and bytes, nothing stands still.

On a mocked clock a lost wake-up shows at once: when nobody can go on the clock leaps to the deadline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_pair

from protocols.http2.connection import Connection
from protocols.http2.errors import Http2Error, StreamRefused
from protocols.http2.events import Headers
from protocols.http2.limits import Limits
from protocols.http2.server import serve_connection
from protocols.http2.stream import Stream
from protocols.transport.watch import open_watch
from tests.protocols.http2.peer import REQUEST, sockets

OK: Headers = [(b":status", b"200")]
DONE: Headers = [(b"grpc-status", b"0")]
# Longer than all that is done, shorter than a keepalive: only a standstill gets here.
STANDSTILL_SECONDS = 30
TIGHT = {
    "one byte": Limits(
        stream_window_bytes=1, connection_window_bytes=1, unsent_stream_bytes=1, unsent_connection_bytes=1
    ),
    "small": Limits(stream_window_bytes=100, unsent_stream_bytes=50, unsent_connection_bytes=200),
    "few slots": Limits(stream_window_bytes=1000, max_streams=3),
    "usual": Limits(),
}


async def echo(stream: Stream) -> None:
    try:
        stream.send_headers(OK)
        while piece := await stream.receive():
            await stream.send(piece)
        stream.end(DONE)
        await stream.sent()
    except Http2Error:
        pass


@asynccontextmanager
async def watched_pair(limits: Limits) -> AsyncIterator[Connection]:
    """Over sockets, which a watch reads."""
    ours, theirs = sockets()
    async with open_watch(), trio.open_nursery() as nursery:
        client = Connection(theirs, limits, answer=None)
        nursery.start_soon(lambda: serve_connection(ours, echo, limits=limits))
        nursery.start_soon(client.run)
        await client.established()
        yield client
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def pair(limits: Limits, random: Random, draining: trio.Event | None = None) -> AsyncIterator[Connection]:
    ours, theirs = memory_stream_pair()
    for side in (ours, theirs):
        crumble(side, random)
    client = Connection(theirs, limits, answer=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_connection(ours, echo, limits=limits, draining=draining))
        nursery.start_soon(client.run)
        await client.established()
        yield client
        nursery.cancel_scope.cancel()


def crumble(stream: trio.StapledStream[MemorySendStream, MemoryReceiveStream], random: Random) -> None:
    """Let reads return what they like, as sockets do."""
    receive = stream.receive_stream

    async def some(most: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return bytes(await receive.receive_some(random.choice([1, 7, 100, 5000, most or 5000])))

    stream.receive_some = some  # type: ignore[method-assign]


async def talk(client: Connection, sizes: list[int], *, leave: bool) -> None:
    """Send messages of these sizes and hear them again; again from the beginning when the stream was refused."""
    refused = True
    while refused:
        refused = False
        try:
            await talk_once(client, sizes, leave=leave)
        except* StreamRefused:
            refused = True
            await trio.sleep(0.001)


async def talk_once(client: Connection, sizes: list[int], *, leave: bool) -> None:
    stream = await client.open(REQUEST)
    try:
        whole = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, stream, whole)
            assert await stream.receive_headers() == OK
            heard = b""
            while piece := await stream.receive():
                heard += piece
                if leave and len(heard) > sum(sizes) // 2:
                    nursery.cancel_scope.cancel()
                    return
        assert heard == b"".join(whole)
        assert stream.trailers == DONE
    finally:
        client.release(stream)


async def say(stream: Stream, messages: list[bytes]) -> None:
    for message in messages:
        await stream.send(message)
    stream.end()


@pytest.mark.parametrize("limits", TIGHT.values(), ids=TIGHT)
@pytest.mark.parametrize("seed", range(3))
async def test_streams_come_to_their_end_through_any_window(
    limits: Limits, seed: int, autojump_clock: MockClock
) -> None:
    random = Random(seed)
    most = 30 if limits.stream_window_bytes == 1 else 3000
    with trio.fail_after(STANDSTILL_SECONDS):
        async with pair(limits, random) as client, trio.open_nursery() as nursery:
            for number in range(12):
                sizes = [random.randrange(1, most) for _ in range(random.randrange(1, 6))]
                nursery.start_soon(lambda s=sizes, leave=number % 4 == 3: talk(client, s, leave=leave))


@pytest.mark.parametrize("limits", TIGHT.values(), ids=TIGHT)
async def test_streams_come_to_their_end_also_where_a_watch_reads_and_writes(limits: Limits) -> None:
    random = Random(7)
    most = min(200_000, 30 * limits.stream_window_bytes)
    with trio.fail_after(60):
        async with watched_pair(limits) as client, trio.open_nursery() as nursery:
            for number in range(12):
                sizes = [random.randrange(1, most) for _ in range(random.randrange(1, 6))]
                nursery.start_soon(lambda s=sizes, leave=number % 4 == 3: talk(client, s, leave=leave))


@pytest.mark.parametrize("seed", range(3))
async def test_a_drain_in_the_middle_lets_running_streams_end(seed: int, autojump_clock: MockClock) -> None:
    random, draining = Random(seed), trio.Event()
    with trio.fail_after(STANDSTILL_SECONDS):
        async with pair(TIGHT["small"], random, draining) as client:
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(lambda: talk(client, [2000, 10], leave=False))
                await trio.sleep(0.001)
                draining.set()
            await trio.sleep(0.001)
            assert not client.usable
