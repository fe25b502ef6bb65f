"""A busy pipeline's mailbox: higher priority first, then in order; who leaves the queue leaves no gap in it."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pipelines.slots import Slots


@pytest.mark.parametrize("at_once", [1, 2])
@settings(max_examples=30, deadline=None)
@given(callers=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=8))
def test_slots_go_to_the_highest_and_then_to_the_first_of_those_that_still_wait(
    at_once: int, callers: list[tuple[int, bool]]
) -> None:
    served: list[int] = []

    async def call(slots: Slots, number: int, priority: int, scope: trio.CancelScope) -> None:
        with scope:
            await slots.enter(priority)
            served.append(number)
            slots.leave()

    async def run() -> Slots:
        slots = Slots(at_once)
        for _ in range(at_once):
            await slots.enter(0)
        async with trio.open_nursery() as nursery:
            for number, (priority, gives_up) in enumerate(callers):
                scope = trio.CancelScope()
                nursery.start_soon(partial(call, slots, number, priority, scope))
                await trio.testing.wait_all_tasks_blocked()
                if gives_up:
                    scope.cancel()
            for _ in range(at_once):
                await trio.testing.wait_all_tasks_blocked()
                slots.leave()
        return slots

    slots = trio.run(run)
    waited = [(-priority, number) for number, (priority, gives_up) in enumerate(callers) if not gives_up]
    assert served == [number for _, number in sorted(waited)]
    assert (slots.free, slots.waiting) == (at_once, 0)
