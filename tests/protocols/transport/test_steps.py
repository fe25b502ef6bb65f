"""Messages that came together go in step: stage by stage, in their order; one's error leaves no other behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from protocols.transport.steps import Steps, at_once
from protocols.transport.watch import open_watch

STAGES = ("read", "decided", "stored")


def go(steps: Callable[[Callable[[], object]], object], told: list[str], name: str, stage: int = 0) -> None:
    """Go through all stages, each of them a step."""
    told.append(f"{name} {STAGES[stage]}")
    if stage + 1 < len(STAGES):
        steps(partial(go, steps, told, name, stage + 1))


def test_who_came_together_goes_stage_by_stage_in_the_order_of_coming() -> None:
    steps, told = Steps(), list[str]()
    steps.together = True
    for name in "ab":
        go(steps.take, told, name)
    steps.catch_up()
    assert told == ["a read", "b read", "a decided", "b decided", "a stored", "b stored"]


@pytest.mark.parametrize("steps", [Steps().take, at_once])
def test_who_comes_alone_goes_on_at_once(steps: Callable[[Callable[[], object]], object]) -> None:
    told: list[str] = []
    for name in "ab":
        go(steps, told, name)
    assert told == ["a read", "a decided", "a stored", "b read", "b decided", "b stored"]


@given(st.lists(st.integers(0, 5), max_size=12))
def test_nobody_overtakes_anybody_however_many_steps_each_has(lengths: list[int]) -> None:
    steps, done = Steps(), list[tuple[int, int]]()

    def step(name: int, number: int) -> None:
        done.append((number, name))
        if number < lengths[name]:
            steps.take(partial(step, name, number + 1))

    steps.together = True
    for name in range(len(lengths)):
        step(name, 0)
    steps.catch_up()
    assert done == sorted(done)
    assert len(done) == sum(lengths) + len(lengths)


def test_what_a_step_raises_is_told_and_the_others_are_done() -> None:
    errors, told = list[BaseException](), list[str]()
    steps = Steps(errors.append)
    steps.together = True
    steps.take(partial(told.append, "first"))
    steps.take(lambda: {}["no such key"])
    steps.take(partial(told.append, "last"))
    steps.catch_up()
    assert told == ["first", "last"]
    assert [type(error) for error in errors] == [KeyError]


async def test_a_wake_up_goes_in_step_and_its_end_comes_behind_all_steps() -> None:
    first, second, told = os.eventfd(1), os.eventfd(1), list[str]()
    async with open_watch() as watch:

        def wake(descriptor: int, name: str, _events: int) -> None:
            os.eventfd_read(descriptor)
            watch.behind(partial(told.append, "over"))
            go(watch.in_step, told, name)

        watch.add(first, partial(wake, first, "a"))
        watch.add(second, partial(wake, second, "b"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        go(watch.in_step, told, "outside")
        watch.remove(first)
        watch.remove(second)
    os.close(first)
    os.close(second)
    names = [line.split()[0] for line in told[:6]]
    assert [line.split()[-1] for line in told[:6]] == ["read", "read", "decided", "decided", "stored", "stored"]
    assert names[0:2] == names[2:4] == names[4:6]
    assert told[6:] == ["over", "over", "outside read", "outside decided", "outside stored"]


async def test_a_step_that_nobody_may_contain_ends_the_watch_and_others_then_go_at_once() -> None:
    broken, told = os.eventfd(1), list[str]()

    def failed(error: BaseException) -> None:
        raise error

    def step() -> None:
        raise MemoryError

    with pytest.RaisesGroup(MemoryError):
        async with open_watch(failed) as watch:
            watch.add(broken, lambda _events: watch.in_step(step))
            try:
                await trio.sleep_forever()
            finally:
                go(watch.in_step, told, "late")
                assert not watch.behind(lambda: None)
    os.close(broken)
    assert told == ["late read", "late decided", "late stored"]
