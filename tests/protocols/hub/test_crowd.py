"""Who is called when: nobody waits for ever behind somebody whose reading takes long, or because he is one of many."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from select import EPOLLHUP, EPOLLIN, EPOLLOUT
from socket import MSG_DONTWAIT

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocols.hub.crowd import Crowd
from protocols.hub.rota import FEW, SLICE_SECONDS
from protocols.transport.watch import Watch, open_watch

Pairs = list[tuple[socket.socket, socket.socket]]


@asynccontextmanager
async def crowd_of(
    count: int,
    called: Callable[[int, int, bool], object],
    reluctant: Callable[[], bool],
    shared: Watch | None = None,
) -> AsyncIterator[tuple[Crowd, Pairs]]:
    """So many who always have something to read; `called(number, events, late)` when it is their turn."""
    async with nullcontext(shared) if shared else open_watch() as watch, trio.open_nursery() as nursery:
        crowd = Crowd(watch, reluctant)
        nursery.start_soon(crowd.run)
        await wait_all_tasks_blocked()
        crowd.open()
        pairs = [socket.socketpair() for _ in range(count)]
        for number, (ours, theirs) in enumerate(pairs):
            theirs.send(b"always something to read")
            crowd.add(ours.fileno(), lambda events, number=number: called(number, events, crowd.late))  # type: ignore[misc]
        with trio.fail_after(60):
            yield crowd, pairs
        for ours, theirs in pairs:
            crowd.remove(ours.fileno())
            ours.close()
            theirs.close()
        crowd.close()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [2, 5, FEW])
async def test_one_that_fills_every_slice_keeps_no_other_from_being_read(count: int, mock_clock: MockClock) -> None:
    calls = Counter(dict.fromkeys(range(count), 0))
    apart = []

    def called(number: int, _events: int, _late: bool) -> None:
        calls[number] += 1
        apart.append(max(calls.values()) - min(calls.values()))
        if number % 2 == 0:  # every other one takes the whole slice
            mock_clock.jump(SLICE_SECONDS)

    async with crowd_of(count, called, lambda: False):
        while sum(calls.values()) < 20 * count:
            await trio.lowlevel.checkpoint()
    assert max(apart) == 1  # however long it goes on, they take turns


@pytest.mark.parametrize("count", [5, FEW])
async def test_who_is_ready_together_is_read_before_the_work_of_any_is_done(count: int) -> None:
    told: list[tuple[str, int]] = []
    async with open_watch() as watch:

        def called(number: int, _events: int, _late: bool) -> None:
            told.append(("read", number))
            watch.in_step(lambda: told.append(("done", number)))

        async with crowd_of(count, called, lambda: False, watch):
            while len(told) < 2 * count:
                await trio.lowlevel.checkpoint()
    assert {what for what, _ in told[:count]} == {"read"}
    assert [("done", number) for _, number in told[:count]] == told[count : 2 * count]


async def test_where_each_takes_more_than_a_slice_they_go_alone(mock_clock: MockClock) -> None:
    told: list[tuple[str, int]] = []
    async with open_watch() as watch:

        def done(number: int) -> None:
            told.append(("done", number))
            mock_clock.jump(1.5 * SLICE_SECONDS)

        def called(number: int, _events: int, _late: bool) -> None:
            told.append(("read", number))
            watch.in_step(partial(done, number))

        async with crowd_of(3, called, lambda: False, watch):
            while len(told) < 40:
                await trio.lowlevel.checkpoint()
    once_learnt = told[12:40]
    assert [what for what, _ in once_learnt] == ["read", "done"] * 14
    assert len({number for _, number in once_learnt}) == 3  # and they still take turns


async def test_what_others_bring_in_the_same_wake_up_takes_nothing_from_the_slice(mock_clock: MockClock) -> None:
    told: list[str] = []
    bell = os.eventfd(0)
    async with open_watch() as watch:

        def commits_land(_events: int) -> None:
            told.append("bell")
            watch.in_step(lambda: mock_clock.jump(3 * SLICE_SECONDS))

        def called(_number: int, _events: int, _late: bool) -> None:
            told.append("read")
            watch.in_step(partial(told.append, "done"))

        watch.add(bell, commits_land)
        async with crowd_of(3, called, lambda: False, watch) as (crowd, pairs):
            for wanted in (0, EPOLLIN):  # epoll tells first who was ready first: the bell, from now on
                for ours, _ in pairs:
                    crowd.change(ours.fileno(), wanted)
                os.eventfd_write(bell, 1)
                while "bell" not in told:
                    await trio.lowlevel.checkpoint()
            while told.count("bell") < 10:
                await trio.lowlevel.checkpoint()
        watch.remove(bell)
    os.close(bell)
    turns = "".join(what[0] for what in told).split("b")
    assert turns[3:8] == ["rrrddd"] * 5


async def test_many_who_were_left_unread_are_read_as_soon_as_there_is_room_and_again_after_that() -> None:
    room, calls = [False], Counter[int]()

    def called(number: int, _events: int, late: bool) -> None:
        if room[0] and not late:
            calls[number] += 1

    async with crowd_of(3 * FEW, called, lambda: not room[0]):
        await trio.sleep(0.02)
        assert not calls
        room[0] = True
        while len(calls) < 3 * FEW or min(calls.values()) < 2:
            await trio.lowlevel.checkpoint()


async def test_an_answer_goes_on_while_nobody_is_read() -> None:
    calls: list[tuple[int, int]] = []

    def called(number: int, events: int, late: bool) -> None:
        if not late:
            calls.append((number, events))

    async with crowd_of(3 * FEW, called, lambda: True) as (crowd, pairs):
        await trio.sleep(0.02)
        assert not calls
        crowd.change(pairs[7][0].fileno(), EPOLLIN | EPOLLOUT)
        while not calls:
            await trio.lowlevel.checkpoint()
        assert calls[0][0] == 7
        assert calls[0][1] & EPOLLOUT


async def test_a_client_that_is_gone_is_let_go_while_nobody_is_read() -> None:
    gone: list[int] = []

    def called(number: int, events: int, late: bool) -> None:
        if events & EPOLLHUP:
            gone.append(number)

    async with crowd_of(3 * FEW, called, lambda: True) as (_crowd, pairs):
        await trio.sleep(0.02)
        pairs[7][1].close()
        while not gone:
            await trio.lowlevel.checkpoint()
    assert set(gone) == {7}


async def test_who_was_read_while_an_answer_went_on_is_not_late_the_next_time(mock_clock: MockClock) -> None:
    reluctant, calls, ends = [True], list[tuple[int, bool]](), Pairs()

    def called(_number: int, events: int, late: bool) -> None:
        calls.append((events & ~EPOLLOUT, late))
        with suppress(BlockingIOError):
            ends[0][0].recv(100, MSG_DONTWAIT)

    async with crowd_of(1, called, lambda: reluctant[0]) as (crowd, pairs):
        ends.extend(pairs)
        for _ in range(20):  # it is left unread, and the crowd rests
            await trio.lowlevel.checkpoint()
        crowd.change(pairs[0][0].fileno(), EPOLLIN | EPOLLOUT)
        mock_clock.jump(0.02)
        await _until(lambda: len(calls) > 0)
        crowd.change(pairs[0][0].fileno(), EPOLLIN)
        reluctant[0], told = False, len(calls)
        mock_clock.jump(10.0)
        pairs[0][1].send(b"the next request")
        await _until(lambda: (EPOLLIN, False) in calls[told:])
    assert (EPOLLIN, True) not in calls


async def _until(happened: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        for _ in range(1000):
            await trio.lowlevel.checkpoint()
            if happened():
                return
    raise AssertionError("it never happened")
