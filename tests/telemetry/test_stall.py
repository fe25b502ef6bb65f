"""Who holds the loop is named; a loop that is late says how late."""

from __future__ import annotations

import trio
import trio.testing

from gateway.notices import LoopStalled
from gateway.telemetry import Book, Watchers, about, make_report
from gateway.telemetry.stall import LoopLag, StallDetector


class Watch:
    """A clock that is set forward by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


async def test_a_step_that_takes_too_long_names_its_task_and_where_it_stopped():
    clock, told = Watch(), []
    detector = StallDetector(told.append, longest_seconds=0.1, clock=clock)

    async def culprit():
        clock.now += 0.25
        await trio.sleep(0)
        clock.now += 0.05

    trio.lowlevel.add_instrument(detector)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(culprit, name="hook my_hooks:slow")
    finally:
        trio.lowlevel.remove_instrument(detector)
    [notice] = told
    assert isinstance(notice, LoopStalled) and notice.seconds == 0.25
    assert notice.task.startswith("hook my_hooks:slow (telemetry/test_stall.py:")


async def test_a_stall_is_shown_with_the_envelope_the_task_was_about():
    clock, watchers = Watch(), Watchers()
    detector = StallDetector(make_report(Book(), watchers, None, lambda: 0.0), clock=clock)

    async def culprit():
        about("e1")
        clock.now += 1.0

    with watchers.watch() as seen:
        trio.lowlevel.add_instrument(detector)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(culprit)
        finally:
            trio.lowlevel.remove_instrument(detector)
        assert seen.receive_nowait().envelope_id == "e1"


async def test_the_lag_is_the_time_a_wake_up_is_late(mock_clock):
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lag.watch)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(0.75)
        await trio.testing.wait_all_tasks_blocked()
        assert (lag.seconds, lag.worst) == (0.25, 0.25)
        mock_clock.jump(0.5)
        await trio.testing.wait_all_tasks_blocked()
        assert (lag.seconds, lag.worst) == (0.0, 0.25)
        nursery.cancel_scope.cancel()
