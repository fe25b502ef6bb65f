"""Which worker gets a task, whose word about it counts, and what becomes of it when its worker is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import trio
import trio.testing

from gateway.errors import ModelError
from gateway.flow.aside import Turn
from gateway.message.envelope import Envelope
from gateway.message.message import Message
from gateway.pipelines.spec import StepSpec
from gateway.pipelines.steps import ask
from gateway.pipelines.workers import SILENCE_SECONDS, Desk, Failure, Given, Output, Standing, Withdrawn, WorkerPool
from gateway.ports import ModelCall

Word = Given | Withdrawn
STEP = StepSpec(name="shout", worker="loud")


class Office:
    """A pool, and what became of the questions that were put to it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.pool = WorkerPool(lambda: 0.0)
        self.answers: dict[str, str] = {}
        self._nursery = nursery

    async def asks(self, *names: str) -> None:
        """Have messages of these names walk into the step, and return when their tasks are where they go."""
        for name in names:
            self._nursery.start_soon(self._ask, name)
            await trio.testing.wait_all_tasks_blocked()

    async def _ask(self, name: str) -> None:
        answer: Any = self.pool.asker("loud", STEP)(call(name))
        try:
            self.answers[name] = (await answer).text
        except ModelError as error:
            self.answers[name] = f"{error.why} ({'passing' if error.passing else 'for good'})"

    @contextmanager
    def worker(self, credit: int = 1) -> Iterator[tuple[Desk, list[Word]]]:
        """Connect a worker; its desk, and what it is told."""
        told: list[Word] = []
        desk = Desk("loud", told.append)
        with self.pool.connected(desk):
            self.pool.give_credit(desk, credit)
            yield desk, told

    def does(self, desk: Desk, name: str, outcome: Output | Failure | None = None) -> None:
        self.pool.finish(desk, f"{name}/echo/shout", outcome or Output(name.upper()))


def call(name: str) -> ModelCall:
    message = Message(channel="it", platform="grpc", content=name)
    envelope = Envelope(id=name, message=message, received_at=0.0, deadline=60.0)
    options = {"inputs": {}, "envelope": envelope, "pipeline": "echo", "history": (), "given": count(1)}
    return ModelCall(model="loud", turns=(), options=options)


def given(told: list[Word]) -> list[str]:
    """Return whose tasks a worker was given."""
    return [word.work.envelope.id for word in told if isinstance(word, Given)]


async def test_that_a_worker_failed_which_lost_a_task_does_not_end_it_for_the_one_that_is_at_it(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    office = Office(nursery)
    with office.worker() as (silent, told), office.worker() as (other, told_other):
        await office.asks("m1")
        await trio.sleep(SILENCE_SECONDS + 1)
        await trio.testing.wait_all_tasks_blocked()
        assert told[-1] == Withdrawn("m1/echo/shout", "silent for too long")
        office.does(silent, "m1", Failure("cancelled", retryable=False))
        assert (given(told), given(told_other)) == (["m1"], ["m1"])
        office.does(other, "m1")
        await trio.testing.wait_all_tasks_blocked()
        assert office.answers == {"m1": "M1"}
        assert len(told_other) == 1, "it is not told that another did it"


async def test_a_failure_that_is_sent_again_after_a_reconnect_takes_no_try_from_a_task_that_waits(
    nursery: trio.Nursery,
) -> None:
    office = Office(nursery)
    with office.worker():
        await office.asks("m1")
    with office.worker(credit=0) as (desk, told):
        office.does(desk, "m1", Failure("busy", retryable=True))
        await trio.testing.wait_all_tasks_blocked()
        assert not office.answers
        office.pool.give_credit(desk, 1)
        assert given(told) == ["m1"]


async def test_an_output_is_taken_also_from_a_worker_that_lost_the_task(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    with office.worker():
        await office.asks("m1")
    with office.worker() as (_, told), office.worker(credit=0) as (back, _):
        office.does(back, "m1")
        await trio.testing.wait_all_tasks_blocked()
        assert office.answers == {"m1": "M1"}
        assert told[-1] == Withdrawn("m1/echo/shout", "done by another")


async def test_a_task_that_cannot_be_said_fails_its_step_for_good_and_the_worker_gets_another(
    nursery: trio.Nursery,
) -> None:
    office, told = Office(nursery), list[Word]()

    def say(word: Word) -> None:
        if isinstance(word, Given) and word.work.envelope.id == "large":
            office.pool.turn_down(desk, word.work.id, "too large")
        else:
            told.append(word)

    desk = Desk("loud", say)
    await office.asks("large", "m1")
    with office.pool.connected(desk):
        office.pool.give_credit(desk, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert office.answers == {"large": 'worker "loud": too large (for good)'}
        assert given(told) == ["m1"]


async def test_a_task_that_takes_one_worker_after_the_other_down_fails_alone(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    await office.asks("bad", "good")
    for _ in range(2):
        with office.worker(credit=4) as (_, told):
            assert given(told) == ["bad", "good"]
    with office.worker(credit=4) as (_, told):
        assert given(told) == ["bad"]
    await trio.testing.wait_all_tasks_blocked()
    assert office.answers == {"bad": 'worker "loud": 3 workers left while they had it (passing)'}
    with office.worker(credit=4) as (desk, told):
        await office.asks("new")
        assert given(told) == ["good"]
        office.does(desk, "good")
        assert given(told) == ["good", "new"]


async def test_how_often_a_task_was_given_is_counted_over_all_tries_of_its_step(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    step = StepSpec(name="shout", worker="loud", deadline_seconds=1.0, tries=2)
    office, turn = Office(nursery), Turn()
    turn.own_task = True
    with office.worker(credit=2) as (_, told), pytest.raises(ModelError):
        await ask(step, call("m1"), office.pool.asker("loud", step), turn, trio.lowlevel.checkpoint)
    assert [word.attempt for word in told if isinstance(word, Given)] == [1, 2]


async def test_at_the_deadline_is_said_that_no_worker_of_the_name_is_connected_and_nothing_like_it_of_one_that_is(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    step = StepSpec(name="shout", worker="loud", deadline_seconds=5.0, tries=1)
    office, turn = Office(nursery), Turn()
    turn.own_task = True

    async def why() -> str:
        with pytest.raises(ModelError) as told:
            await ask(step, call("m1"), office.pool.asker("loud", step), turn, trio.lowlevel.checkpoint)
        return told.value.why

    way_out = 'no worker "loud" is connected; start one with the token of that name in [access] workers'
    assert await why() == f"no answer within 5 s: {way_out}"
    with office.worker():
        assert await why() == "no answer within 5 s"


async def test_who_asks_is_told_how_many_workers_there_are_and_what_waits_for_them(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    await office.asks("a", "b")
    assert office.pool.standing("loud") == Standing("loud", 0, 0, 2)
    with office.worker():
        assert office.pool.standing("loud") == Standing("loud", 1, 1, 1)
    assert office.pool.standing("loud") == Standing("loud", 0, 0, 2)
    assert office.pool.standing("nobody asks") == Standing("nobody asks", 0)
