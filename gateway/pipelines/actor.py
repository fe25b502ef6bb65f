"""The actor of one pipeline: takes messages from its mailbox and walks them through the steps.

It owns its slots and its counters, no order: the lane of a conversation waits for it. Whatever a
step raises is contained to the message; the actor itself has no state that a crash could spoil.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from msgspec import Struct

from gateway.errors import ModelError
from gateway.flow.aside import Turn as WalkTurn
from gateway.flow.plan import Plan
from gateway.flow.story import StepNote
from gateway.flow.typing import Working
from gateway.flow.vocabulary import StepFacts
from gateway.flow.walk import Produced
from gateway.message.envelope import Delivery, Envelope
from gateway.notices import Report, StepFailed
from gateway.pipelines.history import History
from gateway.pipelines.inputs import Render, gathered, needs_history, turns
from gateway.pipelines.slots import Slots
from gateway.pipelines.spec import Pipeline, StepSpec
from gateway.pipelines.steps import Ask, Slot, ask
from gateway.ports import ModelCall, Turn


class Stream(Protocol):
    """Shows a reply while it is being written; None when the channel, a hook or the order forbids it."""

    async def __call__(
        self, step: StepSpec, envelope: Envelope, call: ModelCall, turn: WalkTurn, slot: Slot
    ) -> tuple[str, Delivery | None] | None: ...


class Crew(Struct, frozen=True):
    """Whom an actor may ask: models by name, workers and functions by their step's words, the rules for a model."""

    model: Callable[[str], Ask]
    worker: Callable[[str, StepSpec], Ask]
    function: Callable[[str], Ask]
    choose: Callable[[StepFacts, str], str]
    render: Callable[[str], Render]
    stream: Stream
    working: Working
    history: History


class Actor:
    """One pipeline at work."""

    def __init__(self, spec: Pipeline, crew: Crew, report: Report) -> None:
        self.spec, self._crew, self._report = spec, crew, report
        self.slots = Slots(spec.at_once)
        self.running = 0
        self.failures = 0
        self._renders = {step.name: crew.render(step.prompt) for step in spec.pipeline if step.prompt}

    async def run(self, envelope: Envelope, plan: Plan, turn: WalkTurn) -> Produced:
        """Walk one message through the steps; `Produced.failed` tells when one of them gave up."""
        self.running += 1
        run = _Run(self, envelope, plan, turn)
        try:
            return await run.through()
        finally:
            self.running -= 1
            run.over()
            if run.has_slot:
                self.slots.leave()

    def _failed(self, envelope: Envelope, step: StepSpec, why: str, notes: tuple[StepNote, ...]) -> Produced:
        self.failures += 1
        self._report(StepFailed(envelope.id, self.spec.name, step.name, why))
        texts = (self.spec.on_failure,) if self.spec.on_failure else ()
        return Produced(texts, notes, failed=f"step {step.name}: {why}")


class _Run:
    """One message in one pipeline."""

    def __init__(self, actor: Actor, envelope: Envelope, plan: Plan, turn: WalkTurn) -> None:
        self._actor, self._crew, self._spec = actor, actor._crew, actor.spec
        self._envelope, self._plan, self._turn = envelope, plan, turn
        self._outputs: dict[str, str] = {}
        self._notes: list[StepNote] = []
        self._history: tuple[Turn, ...] | None = None
        self._streamed: tuple[Delivery, ...] = ()
        self.over: Callable[[], None] = _nothing
        self._unconfirmed = False
        self.has_slot = False

    async def through(self) -> Produced:
        steps = self._spec.pipeline
        for step in steps:
            began, model = perf_counter(), ""
            try:
                inputs = gathered(step, self._envelope, self._outputs, await self._past(step))
                model = step.model or step.worker or step.function or self._chosen(step, inputs)
                tries = await self._step(step, inputs, model, last=step is steps[-1])
            except ModelError as error:
                self._notes.append(StepNote(step.name, model, perf_counter() - began, why=error.why))
                return self._actor._failed(self._envelope, step, error.why, tuple(self._notes))
            self._notes.append(StepNote(step.name, model, perf_counter() - began, tries))
        text = self._outputs[steps[-1].name]
        texts = () if self._streamed else (text,)
        return Produced(texts, tuple(self._notes), streamed=self._streamed, repeated=self._unconfirmed)

    async def _step(self, step: StepSpec, inputs: dict[str, str], model: str, *, last: bool) -> int:
        render = self._actor._renders.get(step.name)
        call = ModelCall(
            model=model,
            turns=turns(step, self._envelope, inputs, self._history or (), render),
            max_tokens=step.max_tokens,
            temperature=step.temperature,
            options=self._options(step, inputs),
        )
        if last and self._spec.stream and not step.worker and not step.function:
            shown = await self._crew.stream(step, self._envelope, call, self._turn, self._slot)
            if shown is not None:
                self._outputs[step.name], delivery = shown
                self._streamed = (delivery,) if delivery is not None else ()
                self._unconfirmed = delivery is None
                return 1
        asker = self._asker(step, model)
        answer, tries = await ask(step, call, asker, self._turn, self._slot)
        self._outputs[step.name] = answer.text
        return tries

    def _options(self, step: StepSpec, inputs: dict[str, str]) -> dict[str, Any]:
        if step.worker:
            history = self._history or ()
            return {"inputs": inputs, "envelope": self._envelope, "pipeline": self._spec.name, "history": history}
        return {"inputs": inputs} if step.function else {}

    def _asker(self, step: StepSpec, model: str) -> Ask:
        if step.worker:
            return self._crew.worker(step.worker, step)
        if step.function:
            return self._crew.function(step.function)
        return self._crew.model(model)

    def _chosen(self, step: StepSpec, inputs: dict[str, str]) -> str:
        message = self._envelope.message
        said = "\n\n".join(inputs.values())
        facts = StepFacts(said, step.name, self._spec.name, message, self._envelope.tags)
        model = self._crew.choose(facts, self._plan.model)
        if not model:
            raise ModelError('the step names no model and no rule of RULESET "models" chose one', passing=False)
        return model

    async def _past(self, step: StepSpec) -> tuple[Turn, ...]:
        if not needs_history(step):
            return ()
        if self._history is None:
            await self._turn.aside()
            self._history = await self._crew.history.turns(self._envelope.message, self._spec.history_turns)
        return self._history

    async def _slot(self) -> None:
        """Take a slot of the mailbox, once, and show that we are at it; straight walks never need one."""
        if not self.has_slot:
            self.over()
            self.over = self._crew.working(self._envelope.message)
            await self._actor.slots.enter(self._envelope.priority)
            self.has_slot = True


def _nothing() -> None:
    """Be what is over when nothing was shown."""
