"""The walk of one message: inbound hooks, rules, pipeline, outbound hooks, in this order.

This file only says what comes after what. It takes an envelope and returns how it ends; committing
that is the hand-over's work. A walk may run again after a crash, with the same envelope id.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol, assert_never

from msgspec import Struct
from msgspec.structs import replace

from gateway.flow.aside import Turn
from gateway.flow.hooks import Chain, Held, Passed, Rejected
from gateway.flow.plan import Plan
from gateway.flow.story import HookNote, StepNote, Story
from gateway.message.envelope import Delivery, Envelope
from gateway.message.lifecycle import InboundState
from gateway.message.message import Conversation, Message
from gateway.notices import (
    EnvelopeBuried,
    EnvelopeDropped,
    EnvelopeRejected,
    EnvelopeRouted,
    EnvelopeSetAside,
    EnvelopeUnrouted,
    Report,
    RulesRan,
)


class Ending(Struct, frozen=True):
    """How a walk ends: the message's next state, what to send, and the story of how it came to that.

    `streamed` are deliveries that reached their destination while the reply was being written; `repeated` says
    that replies may have been seen already, by a stream whose end nobody confirmed.
    """

    state: InboundState
    replies: tuple[Message, ...] = ()
    why: str = ""
    by: str = ""
    tell: str = ""
    delay_seconds: float = 0.0
    story: Story | None = None
    streamed: tuple[Delivery, ...] = ()
    repeated: bool = False


class Produced(Struct, frozen=True):
    """What a pipeline made of a message. `failed` says why it gave up; then `texts` is what the sender is told."""

    texts: tuple[str, ...]
    steps: tuple[StepNote, ...] = ()
    failed: str = ""
    streamed: tuple[Delivery, ...] = ()
    repeated: bool = False


class RunPipeline(Protocol):
    """The pipeline actors: hand a message to the one that the plan names."""

    async def __call__(self, envelope: Envelope, plan: Plan, turn: Turn) -> Produced: ...


class Stages(Struct, frozen=True):
    """What the walk is made of; swapped whole on reload, so that one message sees one configuration."""

    inbound: Chain
    outbound: Chain
    route: Callable[[Envelope], Plan]
    run: RunPipeline
    address_of: Callable[[Message], dict[str, Any]]
    platform_of: Callable[[str], str]
    mention_only: frozenset[str] = frozenset()  # channels that answer in groups only when mentioned


class Walker:
    """Walks messages with the stages of the moment; `stages` may be replaced between two messages."""

    def __init__(self, stages: Stages, report: Report, now: Callable[[], float]) -> None:
        self.stages, self._report, self._now = stages, report, now

    async def walk(self, envelope: Envelope, turn: Turn) -> Ending:
        """Take one message from the inbound hooks to its replies. Raises only what is a bug."""
        run = _Run(envelope, turn, self.stages, self._report, self._now())
        return run.told(await run.through())


class _Run:
    """One message on its way: what is known of it so far."""

    __slots__ = (
        "_began",
        "_came_in",
        "_envelope",
        "_marks",
        "_notes",
        "_now",
        "_plan",
        "_produced",
        "_report",
        "_stages",
        "_turn",
    )

    def __init__(self, envelope: Envelope, turn: Turn, stages: Stages, report: Report, now: float) -> None:
        self._envelope, self._turn, self._stages, self._report, self._now = envelope, turn, stages, report, now
        self._came_in = envelope.message
        self._began = perf_counter()
        self._marks: dict[str, float] = {}
        self._notes: list[HookNote] = []
        self._plan: Plan | None = None
        self._produced = Produced(())

    async def through(self) -> Ending:
        envelope = self._envelope
        match await self._stages.inbound.run(envelope, envelope.message, self._turn, self._notes):
            case Rejected(by, why, tell):
                return self._rejected("hooks", by, why, tell)
            case Held(by, why):
                return self._set_aside(InboundState.HELD, by, why)
            case Passed(message):
                if message is not envelope.message:
                    envelope = self._envelope = replace(envelope, message=message)
        self._mark("hooks")
        plan = self._plan = self._stages.route(envelope)
        self._mark("route")
        self._report(RulesRan(self._marks["route"] - self._marks["hooks"]))
        self._envelope = plan.applied(envelope)
        early = await self._carry_out(plan)
        return early if early is not None else await self._answer(plan)

    def told(self, ending: Ending) -> Ending:
        """Add the story to an ending."""
        self._mark("end")
        plan = self._plan
        story = Story(
            attempt=self._envelope.attempt,
            stages=self._marks,
            hooks=tuple(self._notes),
            rules=plan.rules if plan else (),
            actions=plan.actions if plan else (),
            pipeline=plan.pipeline if plan else "",
            steps=self._produced.steps,
            tags=plan.tags if plan else (),
            by=ending.by,
            why=ending.why,
            tell=ending.tell,
        )
        return replace(ending, story=story)

    async def _carry_out(self, plan: Plan) -> Ending | None:
        """Do what the plan says; an ending when there is nothing more to send."""
        match plan.kind:
            case "pipeline":
                return await self._pipeline(plan)
            case "reply":
                self._produced = Produced((plan.text,))
                return None
            case "nothing":
                return None if plan.forwards else self._unrouted()
            case "reject":
                return self._rejected("rules", plan.by, plan.why, plan.tell)
            case "drop":
                self._report(EnvelopeDropped(self._envelope.id, self._came_in.channel, plan.why))
                return Ending(InboundState.DROPPED, why=plan.why, by=plan.by)
            case "hold":
                return self._set_aside(InboundState.HELD, plan.by, plan.why)
            case "delay":
                aside = self._set_aside(InboundState.DELAYED, plan.by, plan.why)
                return replace(aside, delay_seconds=plan.delay_seconds)
            case never:
                assert_never(never)

    async def _pipeline(self, plan: Plan) -> Ending | None:
        message = self._envelope.message
        unaddressed = message.conversation.kind != "direct" and not message.mentions_me
        if unaddressed and message.channel in self._stages.mention_only:
            if plan.forwards:
                return None
            return Ending(InboundState.DONE, why="said in a group without mentioning the gateway", by="walk")
        self._report(EnvelopeRouted(self._envelope.id, plan.pipeline, plan.by))
        self._produced = await self._stages.run(self._envelope, plan, self._turn)
        self._mark("pipeline")
        return None

    async def _answer(self, plan: Plan) -> Ending:
        """Put what was produced and forwarded through the outbound hooks."""
        produced, envelope = self._produced, self._envelope
        drafts = tuple(self._reply(text) for text in produced.texts if text) + self._forwards(plan)
        checked: list[Message] = []
        for draft in drafts:
            match await self._stages.outbound.run(envelope, draft, self._turn, self._notes):
                case Rejected(by, why, tell):
                    return self._rejected("outbound hooks", by, why, tell)
                case Held(by, why):
                    return self._set_aside(InboundState.HELD, by, why)
                case Passed(message):
                    checked.append(message)
        self._mark("outbound")
        if produced.failed:
            self._report(EnvelopeBuried(envelope.id, self._came_in.channel, produced.failed))
            return Ending(InboundState.DEAD, tuple(checked), why=produced.failed, by=plan.pipeline)
        return Ending(InboundState.DONE, tuple(checked), streamed=produced.streamed, repeated=produced.repeated)

    def _reply(self, text: str) -> Message:
        came_in = self._came_in
        return Message(
            channel=came_in.channel,
            platform=came_in.platform,
            content=text,
            conversation=came_in.conversation,
            reply_to=came_in.id,
            metadata=self._stages.address_of(came_in),
        )

    def _forwards(self, plan: Plan) -> tuple[Message, ...]:
        if not plan.forwards:
            return ()
        message, platform_of = self._envelope.message, self._stages.platform_of
        return tuple(
            Message(
                channel=channel,
                platform=platform_of(channel),
                content=message.content,
                conversation=Conversation(id=to, kind="channel"),
                attachments=message.attachments,
                metadata={"forwarded_from": {"channel": message.channel, "sender": message.sender.name}},
            )
            for channel, to in plan.forwards
        )

    def _rejected(self, stage: str, by: str, why: str, tell: str) -> Ending:
        self._report(EnvelopeRejected(self._envelope.id, self._came_in.channel, stage, by, why))
        replies = (self._reply(tell),) if tell else ()
        return Ending(InboundState.REJECTED, replies, why=why, by=by, tell=tell)

    def _set_aside(self, state: InboundState, by: str, why: str) -> Ending:
        self._report(EnvelopeSetAside(self._envelope.id, self._came_in.channel, state.value, why))
        return Ending(state, why=why, by=by)

    def _unrouted(self) -> Ending:
        message = self._came_in
        if message.action != "new" or message.type in ("reaction", "event"):
            return Ending(InboundState.DONE, why=f"no rule is about this {message.action} {message.type}", by="walk")
        self._report(EnvelopeUnrouted(self._envelope.id, message.channel))
        return Ending(InboundState.UNROUTED, why="no rule and no default pipeline took it", by="walk")

    def _mark(self, stage: str) -> None:
        self._marks[stage] = perf_counter() - self._began
