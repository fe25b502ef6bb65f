"""The actor of one pipeline: takes messages from its mailbox and walks them through the steps.

It owns its slots and its counters, no order: the lane of a conversation waits for it. Whatever a
step raises is contained to the message; the actor itself has no state that a crash could spoil.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import count
from time import perf_counter
from typing import Any, Protocol

from msgspec import Struct

from gateway.errors import ModelError, in_words
from gateway.flow.aside import Turn as WalkTurn
from gateway.flow.plan import Plan
from gateway.flow.story import StepNote
from gateway.flow.typing import Working
from gateway.flow.vocabulary import StepFacts
from gateway.flow.walk import Produced
from gateway.message.envelope import Delivery, Envelope
from gateway.message.message import storable
from gateway.notices import Report, StepFailed
from gateway.pipelines.history import History
from gateway.pipelines.inputs import Inputs, Render
from gateway.pipelines.slots import Slots
from gateway.pipelines.spec import Pipeline, StepSpec
from gateway.pipelines.steps import Ask, Slot, ask
from gateway.pipelines.streaming import StreamTo
from gateway.ports import ModelCall, Turn


class Stream(Protocol):
    """Shows a reply while it is being written, through the stream that a channel gives for it."""

    @property
    def streaming(self) -> Callable[[Envelope], StreamTo | None]:
        """Says where to; None when the channel, a hook or the order forbids it."""

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


class Step:
    """One step with all that its words decide, so that a message asks for nothing but its own."""

    __slots__ = ("asker", "asks", "inputs", "name", "spec", "streams")

    def __init__(self, spec: StepSpec, crew: Crew, *, streams: bool) -> None:
        self.spec, self.name = spec, spec.name
        self.inputs = Inputs(spec, crew.render(spec.prompt) if spec.prompt else None)
        self.asks = spec.model or spec.worker or spec.function  # '' when the rules choose a model
        self.asker: Ask | None = None  # None for a model
        if spec.worker:
            self.asker = crew.worker(spec.worker, spec)
        elif spec.function:
            self.asker = crew.function(spec.function)
        self.streams = streams and self.asker is None


class Actor:
    """One pipeline at work."""

    def __init__(self, spec: Pipeline, crew: Crew, report: Report) -> None:
        self.spec, self.crew, self._report = spec, crew, report
        self.slots = Slots(spec.at_once)
        self.running = 0
        self.failures = 0
        last = spec.pipeline[-1]
        self.steps = tuple([Step(step, crew, streams=spec.stream and step is last) for step in spec.pipeline])
        self._models: dict[str, Ask] = {}

    def run(self, envelope: Envelope, plan: Plan, turn: WalkTurn) -> Coroutine[Any, Any, Produced]:
        """Walk one message through the steps; `Produced.failed` tells when one of them gave up."""
        return _Run(self, envelope, plan, turn).through()

    def model(self, name: str) -> Ask:
        """Return who is asked for a model. Raises `ModelError` when there is none."""
        if name not in self._models:
            self._models[name] = self.crew.model(name)
        return self._models[name]

    def failed(self, envelope: Envelope, step: Step, why: str, notes: tuple[StepNote, ...]) -> Produced:
        """Count and tell that a step gave up; what is left to say is the pipeline's word for that."""
        self.failures += 1
        self._report(StepFailed(envelope.id, self.spec.name, step.name, why))
        texts = (self.spec.on_failure,) if self.spec.on_failure else ()
        return Produced(texts, notes, failed=f"step {step.name}: {why}")


class _Run:
    """One message in one pipeline."""

    __slots__ = (
        "_actor",
        "_envelope",
        "_history",
        "_model",
        "_notes",
        "_outputs",
        "_plan",
        "_streamed",
        "_turn",
        "_unconfirmed",
        "has_slot",
        "over",
    )

    def __init__(self, actor: Actor, envelope: Envelope, plan: Plan, turn: WalkTurn) -> None:
        self._actor, self._envelope, self._plan, self._turn = actor, envelope, plan, turn
        self._outputs: dict[str, str] = {}
        self._notes: list[StepNote] = []
        self._model = ""
        self._history: tuple[Turn, ...] | None = None
        self._streamed: tuple[Delivery, ...] = ()
        self._unconfirmed = False
        self.over: Callable[[], None] | None = None
        self.has_slot = False

    async def through(self) -> Produced:
        actor = self._actor
        actor.running += 1
        try:
            return await self._steps(actor)
        finally:
            actor.running -= 1
            if self.over is not None:
                self.over()
            if self.has_slot:
                actor.slots.leave()

    async def _steps(self, actor: Actor) -> Produced:
        notes = self._notes
        for step in actor.steps:
            began, self._model = perf_counter(), ""
            try:
                text, tries = await self._answer(step)
            except ModelError as error:
                notes.append(StepNote(step.name, self._model, perf_counter() - began, why=error.why))
                return actor.failed(self._envelope, step, error.why, tuple(notes))
            self._outputs[step.name] = text
            notes.append(StepNote(step.name, self._model, perf_counter() - began, tries))
        texts = () if self._streamed else (text,)
        return Produced(texts, tuple(notes), streamed=self._streamed, repeated=self._unconfirmed)

    async def _answer(self, step: Step) -> tuple[str, int]:
        """Ask for a step's text; also how many tries it took."""
        inputs, spec, envelope = step.inputs, step.spec, self._envelope
        if inputs.needs_history and self._history is None:
            await self._recall()
        history = self._history or ()
        given = inputs.gathered(envelope, self._outputs, history)
        model = self._model = step.asks or self._chosen(step, given)
        call = ModelCall(
            model=model,
            turns=_laid_out(inputs, envelope, given, history),
            max_tokens=spec.max_tokens,
            temperature=spec.temperature,
            options={} if step.asker is None else self._options(step, given),
        )
        if step.streams and self._actor.crew.stream.streaming(envelope) is not None:
            shown = await self._actor.crew.stream(spec, envelope, call, self._turn, self._slot)
            if shown is not None:
                return self._shown(*shown), 1
        answer, tries = await ask(spec, call, step.asker or self._actor.model(model), self._turn, self._slot)
        return storable(answer.text), tries

    def _shown(self, text: str, delivery: Delivery | None) -> str:
        self._streamed = (delivery,) if delivery is not None else ()
        self._unconfirmed = delivery is None
        return text

    def _options(self, step: Step, inputs: dict[str, str]) -> dict[str, Any]:
        if not step.spec.worker:
            return {"inputs": inputs}
        history, pipeline = self._history or (), self._actor.spec.name
        # Of all tries of the step: how often it is given to a worker.
        given = count(1)
        return {"inputs": inputs, "envelope": self._envelope, "pipeline": pipeline, "history": history, "given": given}

    def _chosen(self, step: Step, inputs: dict[str, str]) -> str:
        message = self._envelope.message
        said = "\n\n".join(inputs.values())
        facts = StepFacts(said, step.name, self._actor.spec.name, message, self._envelope.tags)
        model = self._actor.crew.choose(facts, self._plan.model)
        if not model:
            raise ModelError('the step names no model and no rule of RULESET "models" chose one', passing=False)
        return model

    async def _recall(self) -> None:
        await self._turn.aside()
        limit = self._actor.spec.history_turns
        self._history = await self._actor.crew.history.turns(self._envelope.message, limit)

    async def _slot(self) -> None:
        """Take a slot of the mailbox, once, and show that we are at it; straight walks never need one."""
        if not self.has_slot:
            if self.over is not None:
                self.over()
            self.over = self._actor.crew.working(self._envelope.message)
            await self._actor.slots.enter(self._envelope.priority)
            self.has_slot = True


def _laid_out(inputs: Inputs, envelope: Envelope, given: dict[str, str], history: tuple[Turn, ...]) -> tuple[Turn, ...]:
    try:
        return inputs.turns(envelope, given, history)
    except Exception as error:  # an operator's template; what it meets depends on what people write
        raise ModelError(f"its prompt cannot be filled in: {in_words(error)}", passing=False) from error
