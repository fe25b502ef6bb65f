"""From built parts to the stages a message walks through: actors, chains, the router."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import trio
from msgspec import Struct

from gateway.daemon.build import Parts
from gateway.errors import ModelError
from gateway.flow.aside import Turn
from gateway.flow.destination import Key
from gateway.flow.hooks import Chain
from gateway.flow.memory import RuleMemory
from gateway.flow.plan import Plan
from gateway.flow.route import Router
from gateway.flow.spine import Ground
from gateway.flow.typing import Working, nobody
from gateway.flow.walk import Produced, Stages
from gateway.message.envelope import Delivery, Envelope, lane_key
from gateway.message.message import Message
from gateway.message.receipt import Receipt
from gateway.pipelines.actor import Actor, Crew
from gateway.pipelines.history import History
from gateway.pipelines.inputs import Render
from gateway.pipelines.spec import StepSpec
from gateway.pipelines.steps import Ask
from gateway.pipelines.streaming import Streamer, StreamTo
from gateway.ports import Channel, ModelAnswer, ModelCall

# Calls of one slow hook at the same time; those that were abandoned at their deadline count until they end.
SLOW_AT_ONCE = 8
Workers = Callable[[str, StepSpec], Ask]


class Staged(Struct, frozen=True):
    """Stages, and what a person or a rule reload reaches of them."""

    stages: Stages
    actors: dict[str, Actor]
    router: Router


class Staging:
    """Makes stages of parts, again at every reload; what must outlive a reload stands here.

    `clear` says whether a destination has nothing waiting, so that a streamed reply overtakes nothing, and `occupied`
    keeps it while one is shown; `working` shows the sender that a model is being waited for.
    """

    def __init__(
        self,
        ground: Ground,
        channels: Mapping[str, Channel],
        *,
        clear: Callable[[Key], bool],
        occupied: Callable[[Key], AbstractContextManager[None]],
        workers: Workers,
        working: Working = nobody,
    ) -> None:
        self._ground, self._channels, self._clear, self._workers = ground, channels, clear, workers
        self._working, self._occupied = working, occupied
        self._threads: dict[str, trio.CapacityLimiter] = {}
        self.actors: dict[str, Actor] = {}
        self.router: Router | None = None
        self.memory = RuleMemory()

    def stages(self, parts: Parts) -> Stages:
        """Build the stages and take them for those in force."""
        return self.take(self.build(parts))

    def take(self, staged: Staged) -> Stages:
        """Take these for the stages in force; whoever calls hands them to the walker."""
        self.actors, self.router = staged.actors, staged.router
        return staged.stages

    def _threads_of(self, hook: str) -> trio.CapacityLimiter:
        """A few threads for each slow hook: one that hangs must not eat the journal's, nor another hook's."""
        return self._threads.setdefault(hook, trio.CapacityLimiter(SLOW_AT_ONCE))

    def build(self, parts: Parts) -> Staged:
        """Build the stages; nothing that serves is touched."""
        ground = self._ground
        outbound = Chain("outbound", parts.outbound, ground.report, self._threads_of)
        router = Router(
            parts.ruleset,
            parts.settings.gateway.default_pipeline,
            ground.report,
            ground.now,
            memory=self.memory,
            installed=parts.actions,
        )
        crew = self._crew(parts, router, outbound)
        actors = {name: Actor(spec, crew, ground.report) for name, spec in parts.pipelines.items()}

        def run(envelope: Envelope, plan: Plan, turn: Turn) -> Coroutine[Any, Any, Produced]:
            return actors[plan.pipeline].run(envelope, plan, turn)

        stages = Stages(
            inbound=Chain("inbound", parts.inbound, ground.report, self._threads_of),
            outbound=outbound,
            route=router.plan,
            run=run,
            address_of=self._address_of,
            platform_of=self._platform_of,
            mention_only=frozenset(parts.channels) if parts.settings.flow.in_groups == "mentioned" else frozenset(),
        )
        return Staged(stages, actors, router)

    def _crew(self, parts: Parts, router: Router, outbound: Chain) -> Crew:
        streamer = Streamer(
            provider=parts.models.provider,
            streaming=partial(self._streaming, outbound),
            address_of=self._address_of,
            now=self._ground.now,
            expiry_seconds=self._ground.policy.expiry_seconds,
        )
        return Crew(
            model=lambda name: parts.models.provider(name).answer,
            worker=self._workers,
            function=lambda name: _asking(parts.functions[name]),
            choose=router.model_for,
            render=template,
            stream=streamer,
            working=self._working,
            history=History(self._ground.journal, self._ground.sealer),
        )

    def _streaming(self, outbound: Chain, envelope: Envelope) -> StreamTo | None:
        """Return the channel's stream when it has one, no outbound hook must see the text first, and order allows."""
        message = envelope.message
        channel = self._channels.get(message.channel)
        if channel is None or not channel.traits.can_stream or outbound.concerns(message.channel):
            return None
        key = lane_key(message.channel, message.conversation)
        stream: StreamTo | None = getattr(channel, "stream", None)
        return partial(self._alone, stream, key) if stream is not None and self._clear(key) else None

    async def _alone(self, stream: StreamTo, key: Key, delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        """Show a reply while what somebody else has for the same place waits behind it."""
        with self._occupied(key):
            return await stream(delivery, pieces)

    def _address_of(self, message: Message) -> dict[str, Any]:
        channel = self._channels.get(message.channel)
        return {} if channel is None else channel.address_of(message)

    def _platform_of(self, channel: str) -> str:
        known = self._channels.get(channel)
        return "" if known is None else known.platform


def template(source: str) -> Render:
    """Compile a prompt. Sandboxed, since pipeline files may come from people who may not touch the host."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    compiled = ImmutableSandboxedEnvironment().from_string(source)
    return compiled.render


def _asking(function: Callable[..., Any]) -> Ask:
    """Let an operator's function be asked like a model: it gets the inputs by name and returns the output's text."""

    def ask(call: ModelCall) -> ModelAnswer | Awaitable[ModelAnswer]:
        answer = function(call.options["inputs"])
        if hasattr(answer, "__await__"):
            return _awaited(answer)
        return _said(answer)

    return ask


async def _awaited(answer: Awaitable[Any]) -> ModelAnswer:
    return _said(await answer)


def _said(text: Any) -> ModelAnswer:
    if text is None:  # the word "None" is an answer to nobody
        raise ModelError("the function returned nothing; a step's function returns its text", passing=False)
    return ModelAnswer(text=str(text))
