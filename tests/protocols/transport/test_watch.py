"""What is read without a task of its own: events reach their waker, other threads are heard, closing is clean."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import trio
import trio.testing

from protocols.transport.bell import Bell, BellGone
from protocols.transport.watch import Watch, open_watch, shared_watch


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_a_descriptor_that_is_ready_wakes_its_waker(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    heard = trio.Event()
    async with open_watch() as watch:
        watch.add(ours.fileno(), lambda events: heard.set())
        theirs.send(b"x")
        with trio.fail_after(60):
            await heard.wait()
        watch.remove(ours.fileno())


async def test_an_event_of_a_descriptor_removed_in_the_same_wake_up_reaches_nobody() -> None:
    first, second = os.eventfd(1), os.eventfd(1)
    woken: list[int] = []
    async with open_watch() as watch:

        def wake(own: int, other: int, _events: int) -> None:
            woken.append(own)
            watch.remove(other)
            os.eventfd_read(own)

        watch.add(first, partial(wake, first, second))
        watch.add(second, partial(wake, second, first))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(woken) == 1
        watch.remove(woken[0])
    os.close(first)
    os.close(second)


async def test_what_is_called_when_the_bell_is_taken_down_may_ring_it_again() -> None:
    called: list[str] = []
    async with open_watch() as watch:
        bell = Bell(watch)
        bell.ring(lambda: bell.ring(lambda: called.append("again")))
        bell.close()
        assert called == ["again"]


async def test_what_is_put_off_runs_behind_all_events_of_the_wake_up() -> None:
    first, second = os.eventfd(1), os.eventfd(1)
    order: list[str] = []
    async with open_watch() as watch:

        def wake(descriptor: int, _events: int) -> None:
            os.eventfd_read(descriptor)
            order.append("event")
            watch.afterwards(lambda: order.append("afterwards"))

        for descriptor in (first, second):
            watch.add(descriptor, partial(wake, descriptor))
        await trio.testing.wait_all_tasks_blocked(0.01)
        for descriptor in (first, second):
            watch.remove(descriptor)
    os.close(first)
    os.close(second)
    assert order == ["event", "event", "afterwards", "afterwards"]


async def test_work_for_the_end_of_a_turn_is_taken_only_in_a_turn() -> None:
    ready = os.eventfd(1)
    order: list[str] = []
    async with open_watch() as watch:

        def wake(_events: int) -> None:
            os.eventfd_read(ready)
            assert watch.behind(lambda: order.append("behind"))
            order.append("event")

        assert not watch.behind(lambda: order.append("never"))
        watch.add(ready, wake)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not watch.behind(lambda: order.append("never"))
        watch.remove(ready)
    os.close(ready)
    assert order == ["event", "behind"]


async def test_a_hushed_watch_hears_bells_and_hands_out_everything_with_them() -> None:
    came, order = os.eventfd(1), list[str]()
    async with open_watch() as watch:
        bell = Bell(watch)
        await trio.testing.wait_all_tasks_blocked(0.01)
        watch.hush()
        bell.ring(lambda: order.append("bell"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        watch.add(came, lambda _events: order.append("event") if os.eventfd_read(came) else None)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert order == ["bell"]
        bell.ring(lambda: order.append("bell"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert sorted(order) == ["bell", "bell", "event"]
        watch.remove(came)
        bell.close()
    os.close(came)


@pytest.mark.parametrize("ends", ["it is told to hear", "the thread's bell hears", "the bell is taken down"])
async def test_what_a_hushed_watch_did_not_hear_is_handed_out_when_the_hush_ends(ends: str) -> None:
    came, heard = os.eventfd(0), trio.Event()
    async with open_watch() as watch:
        bell = Bell(watch)
        watch.add(came, lambda _events: heard.set() if os.eventfd_read(came) else None)
        await trio.to_thread.run_sync(bell.hush)
        bell.ring(lambda: None)
        await trio.testing.wait_all_tasks_blocked(0.01)
        os.eventfd_write(came, 1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not heard.is_set()
        match ends:
            case "it is told to hear":
                watch.hear()
            case "the thread's bell hears":
                await trio.to_thread.run_sync(bell.hear)
            case _:
                bell.close()
        with trio.fail_after(60):
            await heard.wait()
        bell.close()
        await trio.to_thread.run_sync(bell.hush)  # of a bell that is down nobody takes orders
        os.eventfd_write(came, 1)
        watch.remove(came)
    os.close(came)


@pytest.mark.parametrize("shared", [True, False])
async def test_another_threads_calls_are_made_in_the_loop_in_their_order(shared: bool) -> None:
    calls: list[tuple[int, int]] = []
    done = trio.Event()

    def call(number: int) -> None:
        calls.append((number, threading.get_ident()))

    def ring(bell: Bell) -> None:
        for number in range(100):
            bell.ring(partial(call, number))
        bell.ring(done.set)

    async with open_watch() as watch:
        bell = Bell(watch if shared else None)
        await trio.to_thread.run_sync(ring, bell)
        with trio.fail_after(60):
            await done.wait()
        bell.close()
    assert calls == [(number, threading.get_ident()) for number in range(100)]


async def test_a_call_that_rings_again_is_called_in_a_later_wake_up() -> None:
    order: list[str] = []
    async with open_watch() as watch:
        bell = Bell(watch)

        def first() -> None:
            bell.ring(lambda: order.append("again"))
            watch.afterwards(lambda: order.append("wake-up over"))

        bell.ring(first)
        with trio.fail_after(60):
            while "again" not in order:
                await trio.lowlevel.checkpoint()
        bell.close()
    assert order == ["wake-up over", "again"]


async def test_a_bell_taken_down_answers_what_was_rung_and_then_nobody() -> None:
    calls: list[str] = []
    async with open_watch() as watch:
        bell = Bell(watch)
        bell.ring(lambda: calls.append("in time"))
        bell.close()
        assert calls == ["in time"]
        with pytest.raises(BellGone):
            bell.ring(lambda: calls.append("too late"))
        bell.close()


async def test_events_are_handed_out_until_the_block_is_left_also_when_it_is_cancelled() -> None:
    calls: list[str] = []
    with trio.CancelScope() as scope:
        async with open_watch() as watch:
            bell = Bell(watch)
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(5, shield=True):
                    bell.ring(lambda: calls.append("while closing"))
                    while not calls:
                        await trio.lowlevel.checkpoint()
                bell.close()
    assert calls == ["while closing"]


@pytest.mark.parametrize("ends", ["left", "cancelled", "broken"])
async def test_a_watch_leaves_no_descriptor_behind_however_its_block_ends(ends: str) -> None:
    def still_open() -> set[str]:
        links = {entry.name: os.path.realpath(entry.path) for entry in os.scandir("/proc/self/fd")}
        return {name for name, link in links.items() if "eventfd" in link}

    before = still_open()
    with trio.CancelScope() as scope:
        try:
            async with open_watch():
                match ends:
                    case "cancelled":
                        scope.cancel()
                        await trio.lowlevel.checkpoint()
                    case "broken":
                        raise EOFError
        except* EOFError:
            pass
    assert still_open() == before


async def test_a_bell_is_heard_also_when_a_waker_has_ended_the_watch() -> None:
    calls: list[str] = []
    broken = os.eventfd(1)

    def wake(_events: int) -> None:
        bell.ring(lambda: calls.append("before"))
        raise MemoryError

    with pytest.RaisesGroup(MemoryError):
        async with open_watch() as watch:
            bell = Bell(watch)
            watch.add(broken, wake)
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(5, shield=True):
                    await trio.to_thread.run_sync(bell.ring, lambda: calls.append("after"))
                    while len(calls) < 2:
                        await trio.lowlevel.checkpoint()
                bell.close()
    os.close(broken)
    assert calls == ["before", "after"]


async def test_events_that_never_end_hold_up_no_task() -> None:
    never_read = os.eventfd(1)
    async with open_watch() as watch:
        watch.add(never_read, lambda _: None)
        with trio.fail_after(60):
            for _ in range(10):
                await trio.sleep(0)
        watch.remove(never_read)
    os.close(never_read)


async def test_a_watch_is_shared_inside_its_block_alone() -> None:
    assert shared_watch() is None
    async with open_watch() as watch:
        assert shared_watch() is watch
    assert shared_watch() is None


async def test_a_watch_can_be_run_by_its_owner(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watch, heard = Watch(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        watch.add(ours.fileno(), lambda _: heard.set())
        theirs.close()
        with trio.fail_after(60):
            await heard.wait()
        nursery.cancel_scope.cancel()
    watch.remove(ours.fileno())
    watch.close()
