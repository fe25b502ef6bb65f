"""Work for workers: programs in any language that connect, say how much they can take, and return results.

A task belongs to the message whose walk waits for it, and ends with that wait: the journal holds
the message, so nothing here need be stored. A worker that leaves or falls silent loses its tasks to
another; the task's id is the same every time. What crosses the wire is gateway/api/rpc's business.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import inf

import trio
from msgspec import Struct

from gateway.errors import ModelError
from gateway.message.envelope import Envelope
from gateway.pipelines.spec import StepSpec
from gateway.pipelines.steps import Ask, Asked
from gateway.ports import ModelAnswer, ModelCall, Turn

# A worker at work says so; a model call that says nothing for this long has mostly hung.
SILENCE_SECONDS = 30.0
# One worker is restarted, and a second one by chance; then what it had is done one at a time, to see which task it is.
_ALONE_AFTER = 2
_MOST_LOST = 3


class Work(Struct, frozen=True, kw_only=True):
    """What a worker is asked: one step for one message. `deadline` is in epoch seconds."""

    id: str
    pipeline: str
    step: str
    envelope: Envelope
    inputs: Mapping[str, str]
    history: tuple[Turn, ...]
    deadline: float


class Given(Struct, frozen=True):
    """Do this, for the `attempt`-th time it is given to somebody."""

    work: Work
    attempt: int


class Withdrawn(Struct, frozen=True):
    """Nobody waits for this any more, from this worker."""

    task_id: str
    why: str


class Output(Struct, frozen=True):
    """The step's text."""

    text: str


class Failure(Struct, frozen=True):
    """The worker gave up; `retryable` when another try may succeed."""

    why: str
    retryable: bool


class Standing(Struct, frozen=True):
    """The workers of one name: those connected, tasks they have, tasks that wait for one, and who they say they are."""

    name: str
    connected: int
    in_hand: int = 0
    waiting: int = 0
    instances: tuple[str, ...] = ()


class Desk:
    """One connected worker: what it has in hand and how much more it wants.

    `say` must not wait; it may turn a task down that cannot be said.
    """

    def __init__(self, worker: str, say: Callable[[Given | Withdrawn], None], instance: str = "") -> None:
        self.worker, self.say, self.instance = worker, say, instance
        self.credit = 0
        # Tasks in a row that it took and did not finish in time.
        self.missed = 0
        self.tasks: dict[str, _Task] = {}

    def may_have(self, task: _Task) -> bool:
        """Tell whether to give it this task: what two workers left with is done alone."""
        alone = len(self.tasks) == 1 and next(iter(self.tasks.values())).lost >= _ALONE_AFTER
        return self.credit > 0 and not alone and (not self.tasks or task.lost < _ALONE_AFTER)


class _Task:
    __slots__ = ("given", "holder", "lost", "news", "outcome", "silent_at", "work", "worker")

    def __init__(self, worker: str, work: Work, given: Iterator[int]) -> None:
        self.worker, self.work = worker, work
        # Counts how often it is given to a worker, over all tries of its step.
        self.given = given
        # How many workers left while they had it.
        self.lost = 0
        self.holder: Desk | None = None
        self.silent_at = inf
        self.outcome: Output | Failure | None = None
        self.news = trio.Event()

    def changed(self) -> None:
        self.news.set()
        self.news = trio.Event()


class WorkerPool:
    """All workers and all tasks of one gateway; outlives reloads. `now` gives epoch seconds."""

    def __init__(self, now: Callable[[], float], silence_seconds: float = SILENCE_SECONDS) -> None:
        self._now = now
        self.silence_seconds = silence_seconds
        self._desks: dict[str, list[Desk]] = defaultdict(list)
        # Bounded by the pipelines' `at_once`: each waiting task is a message that has a slot.
        self._waiting: dict[str, deque[_Task]] = defaultdict(deque)
        self._tasks: dict[str, _Task] = {}

    # -- the pipelines' side ----------------------------------------------------------------------

    def asker(self, name: str, step: StepSpec) -> Ask:
        """Return who a step with `worker: NAME` asks. The step's deadline cancels what it returns."""

        def ask(call: ModelCall) -> Asked:
            return Asked(lambda: self._answer(name, step, call), lambda: self._absence(name))

        return ask

    def _absence(self, name: str) -> str:
        if self._desks.get(name):
            return ""
        return f'no worker "{name}" is connected; start one with the token of that name in [access] workers'

    async def _answer(self, name: str, step: StepSpec, call: ModelCall) -> ModelAnswer:
        task = _Task(name, self._work(step, call), call.options["given"])
        self._tasks[task.work.id] = task
        self._waiting[name].append(task)
        self._hand_out(name)
        try:
            outcome = await self._outcome(task)
        finally:
            self._forget(task)
        if isinstance(outcome, Failure):
            raise ModelError(f'worker "{name}": {outcome.why}', passing=outcome.retryable)
        return ModelAnswer(text=outcome.text)

    async def _outcome(self, task: _Task) -> Output | Failure:
        while task.outcome is None:
            news = task.news
            with trio.move_on_at(task.silent_at):
                await news.wait()
            if task.outcome is None and task.holder is not None and trio.current_time() >= task.silent_at:
                task.holder.missed += 1
                task.holder.say(Withdrawn(task.work.id, "silent for too long"))
                self._take_back(task)
        return task.outcome

    def _work(self, step: StepSpec, call: ModelCall) -> Work:
        envelope: Envelope = call.options["envelope"]
        pipeline: str = call.options["pipeline"]
        return Work(
            id=f"{envelope.id}/{pipeline}/{step.name}",
            pipeline=pipeline,
            step=step.name,
            envelope=envelope,
            inputs=call.options["inputs"],
            history=call.options["history"],
            deadline=self._now() + step.deadline_seconds,
        )

    def standing(self, name: str) -> Standing:
        """Say who does the tasks of this name at the moment."""
        desks = self._desks.get(name, [])
        in_hand = sum(len(desk.tasks) for desk in desks)
        instances = tuple(desk.instance for desk in desks if desk.instance)
        return Standing(name, len(desks), in_hand, len(self._waiting.get(name, ())), instances)

    # -- the workers' side ------------------------------------------------------------------------

    @contextmanager
    def connected(self, desk: Desk) -> Iterator[None]:
        """Let a worker have tasks; what it has in hand at the end goes to another."""
        self._desks[desk.worker].append(desk)
        try:
            yield
        finally:
            self._desks[desk.worker].remove(desk)
            for task in reversed(desk.tasks.copy().values()):
                self._lose(task)
            self._hand_out(desk.worker)

    def give_credit(self, desk: Desk, tasks: int) -> None:
        """A worker can take so many tasks more."""
        desk.credit += tasks
        self._hand_out(desk.worker)

    def heard(self, desk: Desk, task_id: str) -> None:
        """A worker is still at a task."""
        task = desk.tasks.get(task_id)
        if task is not None:
            task.silent_at = trio.current_time() + self.silence_seconds

    def finish(self, desk: Desk, task_id: str, outcome: Output | Failure) -> None:
        """Take a result, an output also of a task that was taken back meanwhile; of one that is over it is ignored."""
        task = self._tasks.get(task_id)
        if task is None or task.worker != desk.worker or task.outcome is not None:
            return
        # A text is a text, whoever has it; that one worker failed says nothing about another that is at the task.
        if isinstance(outcome, Failure) and task.holder is not desk:
            return
        desk.missed = 0
        if task.holder is not None and task.holder is not desk:
            task.holder.say(Withdrawn(task_id, "done by another"))
        self._end(task, outcome)
        self._hand_out(desk.worker)

    def turn_down(self, desk: Desk, task_id: str, why: str) -> None:
        """A task that is being given cannot be said to any worker: its step gives up, and this one gets another."""
        task = desk.tasks.get(task_id)
        if task is not None:
            desk.credit += 1
            self._end(task, Failure(why, retryable=False))

    # -- who gets what ----------------------------------------------------------------------------

    def _hand_out(self, name: str) -> None:
        waiting = self._waiting[name]
        while waiting:
            desk = self._next_desk(waiting[0])
            if desk is None:
                return
            task = waiting.popleft()
            desk.credit -= 1
            desk.tasks[task.work.id] = task
            task.holder = desk
            task.silent_at = trio.current_time() + self.silence_seconds
            task.changed()
            desk.say(Given(task.work, next(task.given)))

    def _next_desk(self, task: _Task) -> Desk | None:
        # One that hangs with its connection open has all its credit left: another gets the next task, if there is one.
        able = [desk for desk in self._desks[task.worker] if desk.may_have(task)]
        return max(able, key=lambda desk: (-desk.missed, desk.credit), default=None)

    def _take_back(self, task: _Task) -> None:
        self._let_go(task)
        self._waiting[task.worker].appendleft(task)
        self._hand_out(task.worker)

    def _lose(self, task: _Task) -> None:
        """Its worker left, for reasons of its own or because of it."""
        task.lost += 1
        if task.lost == _MOST_LOST:
            self._end(task, Failure(f"{_MOST_LOST} workers left while they had it", retryable=True))
        else:
            self._let_go(task)
            self._waiting[task.worker].appendleft(task)

    def _end(self, task: _Task, outcome: Output | Failure) -> None:
        self._let_go(task)
        task.outcome = outcome
        task.changed()

    def _let_go(self, task: _Task) -> None:
        if task.holder is not None:
            task.holder.tasks.pop(task.work.id, None)
        elif task in self._waiting[task.worker]:
            self._waiting[task.worker].remove(task)
        task.holder, task.silent_at = None, inf

    def _forget(self, task: _Task) -> None:
        """The walk no longer waits: for a result that came, or because its deadline passed."""
        if task.holder is not None:
            task.holder.missed += 1
            task.holder.say(Withdrawn(task.work.id, "its deadline passed"))
        self._let_go(task)
        del self._tasks[task.work.id]
        self._hand_out(task.worker)
