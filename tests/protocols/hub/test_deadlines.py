"""Slow and silent clients, on a mocked clock over real sockets."""

from __future__ import annotations

import pytest
import trio

from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Response
from protocols.hub.events import RequestRefused, SlowReaderCut
from protocols.hub.exchange import Exchange
from tests.protocols.serving import GET, RawClient, open_site

LIMITS = HttpLimits(
    head_seconds=3, body_seconds=3, idle_seconds=3, write_seconds=3, linger_seconds=1, drain_seconds=3,
    slowest_bytes_per_second=1_000_000_000, sweep_seconds=0.25,
)  # fmt: skip


async def dribble(client: RawClient, piece: bytes) -> None:
    """Send one byte each second until the server has had enough."""
    try:
        for n in range(len(piece)):
            await client.send_all(piece[n : n + 1])
            await trio.sleep(1)
    except trio.BrokenResourceError:
        pass


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhal",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n32\r\nhel",
    ],
)
async def test_a_request_that_arrives_too_slowly_is_408(start: bytes, autojump_clock: trio.testing.MockClock) -> None:
    async with open_site(limits=LIMITS) as site, await site.connect() as client, trio.open_nursery() as nursery:
        await client.send_all(start)
        nursery.start_soon(dribble, client, b"x" * 20)
        answer = await client.answer()
        assert answer.status == 408
        assert answer.headers.get("content-type") == "application/problem+json"
        nursery.cancel_scope.cancel()
    assert [event.status for event in site.events if isinstance(event, RequestRefused)] == [408]


async def test_a_client_that_says_nothing_is_closed_without_a_word(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_site(limits=LIMITS) as site, await site.connect() as client:
        assert await client.rest() == b""
        assert site.hub.open_connections == 0


async def test_an_idle_connection_is_closed_after_its_time(autojump_clock: trio.testing.MockClock) -> None:
    async with open_site(limits=LIMITS) as site, await site.connect() as client:
        await client.send_all(GET)
        await client.answer()
        await trio.sleep(2)
        await client.send_all(GET)
        await client.answer()
        assert await client.rest() == b""


async def test_an_answer_that_takes_long_is_not_hurried(autojump_clock: trio.testing.MockClock) -> None:
    waiting: list[Exchange] = []
    async with open_site(waiting.append, limits=LIMITS) as site, await site.connect() as client:
        await client.send_all(GET)
        await trio.sleep(1000)
        waiting.pop().answer(Response(200, (), b"at last"))
        assert (await client.answer()).body == b"at last"


def a_lot(exchange: Exchange) -> None:
    exchange.answer(Response(200, (), bytes(20_000_000)))


async def test_a_client_that_does_not_read_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    async with open_site(a_lot, limits=LIMITS) as site, await site.connect() as client:
        await client.send_all(GET)
        await trio.sleep(5)
        assert [type(event) for event in site.events] == [SlowReaderCut]
        assert site.hub.open_connections == 0


async def test_a_client_that_does_not_read_does_not_hold_up_shutdown(
    autojump_clock: trio.testing.MockClock,
) -> None:
    patient = HttpLimits(write_seconds=1000, drain_seconds=3, sweep_seconds=0.25)
    async with open_site(a_lot, limits=patient) as site, await site.connect() as client:
        await client.send_all(GET)
        await trio.sleep(1)
        site.hub.drain()
        with trio.fail_after(4):
            await site.over.wait()


async def test_an_exchange_that_is_never_answered_does_not_hold_up_shutdown(
    autojump_clock: trio.testing.MockClock,
) -> None:
    waiting: list[Exchange] = []
    async with open_site(waiting.append, limits=LIMITS) as site, await site.connect() as client:
        await client.send_all(GET)
        await trio.sleep(1)
        site.hub.drain()
        with trio.fail_after(4):
            await site.over.wait()
        assert waiting[0].gone
        waiting[0].answer(Response(200))
        assert await client.rest() == b""


async def test_half_a_request_does_not_hold_up_shutdown(autojump_clock: trio.testing.MockClock) -> None:
    async with open_site(limits=LIMITS) as site, await site.connect() as client:
        await client.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await trio.lowlevel.checkpoint()
        site.hub.drain()
        with trio.fail_after(10):
            await site.over.wait()


async def test_a_stream_waits_for_its_reader_and_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    sent = 0
    cut = trio.Event()
    async with trio.open_nursery() as nursery:

        async def flood(exchange: Exchange) -> None:
            nonlocal sent
            try:
                async with exchange.stream(200) as body:
                    while True:
                        await body.send(bytes(10_000))
                        sent += 10_000
            except Exception:
                cut.set()

        streaming = open_site(lambda exchange: nursery.start_soon(flood, exchange), limits=LIMITS)
        async with streaming as site, await site.connect() as client:
            await client.send_all(GET)
            await trio.sleep(1)
            # What the kernel's two socket buffers take, and our high-water mark.
            assert sent < 20_000_000
            await cut.wait()
            assert [type(event) for event in site.events] == [SlowReaderCut]


async def test_what_came_while_the_machine_stood_still_is_answered_and_who_is_silent_is_closed_after_that(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with open_site(limits=LIMITS) as site, await site.connect() as client, await site.connect() as silent:
        for each in (client, silent):
            await each.send_all(GET)
            assert (await each.answer()).status == 200
        for _ in range(10):  # who runs first afterwards, the sweeper or the reader, is Trio's lot
            mock_clock.jump(100.0)
            await client.send_all(GET)  # is in the socket before anything of the server runs
            assert (await client.answer()).status == 200
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(LIMITS.sweep_seconds)
        assert await silent.stream.receive_some() == b""
