"""The walk of one message: inbound hooks, rules, pipeline, outbound hooks, in this order.

This file only says what comes after what. It takes an envelope and returns how it ends; committing
that is the hand-over's work. A walk may run again after a crash, with the same envelope id.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, Protocol, assert_never

from msgspec import Struct
from msgspec.structs import replace

from gateway.flow.aside import Turn
from gateway.flow.hooks import Chain, Held, Passed, Rejected
from gateway.flow.plan import Plan
from gateway.flow.story import HookNote, StepNote, Story
from gateway.message.envelope import Delivery, Envelope, Release
from gateway.message.lifecycle import InboundState
from gateway.message.message import Conversation, Message, storable
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


_NOTHING_YET = Produced(())
# What is kept for a release stands in the story, which must be one record; a longer answer is made anew.
_MOST_KEPT_CHARACTERS = 1_000_000
_NO_PLAN = Plan(kind="nothing")
_DONE = InboundState.DONE  # looked up by name: a class's member takes ten times as long


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

    def __init__(self, stages: Stages, report: Report) -> None:
        self.stages, self._report = stages, report

    def walk(self, envelope: Envelope, turn: Turn) -> Coroutine[Any, Any, Ending]:
        """Take one message from the inbound hooks to its replies. Raises only what is a bug."""
        return _Run(envelope, turn, self.stages, self._report).through()


class _Run:
    """One message on its way: what is known of it so far."""

    __slots__ = (
        "_began",
        "_came_in",
        "_envelope",
        "_marks",
        "_notes",
        "_plan",
        "_produced",
        "_report",
        "_stages",
        "_turn",
    )

    def __init__(self, envelope: Envelope, turn: Turn, stages: Stages, report: Report) -> None:
        self._envelope, self._turn, self._stages, self._report = envelope, turn, stages, report
        self._came_in = envelope.message
        self._began = perf_counter()
        self._marks: dict[str, float] = {}  # when each stage ended, in seconds since the walk began
        self._notes: list[HookNote] = []
        self._plan = _NO_PLAN
        self._produced = _NOTHING_YET

    async def through(self) -> Ending:
        envelope, marks = self._envelope, self._marks
        verdict = await self._stages.inbound.run(envelope, envelope.message, self._turn, self._notes)
        match verdict:
            case Passed():
                if verdict.message is not envelope.message:
                    envelope = self._envelope = replace(envelope, message=verdict.message)
            case Rejected(by, why, tell):
                return self._rejected("hooks", by, why, tell)
            case Held():
                return self._held(verdict)
        marks["hooks"] = perf_counter() - self._began
        plan = self._plan = self._stages.route(envelope)
        marks["route"] = perf_counter() - self._began
        self._report(RulesRan(marks["route"] - marks["hooks"]))
        self._envelope = plan.applied(envelope)
        early = await self._carry_out(plan)
        return early if early is not None else await self._answer(plan)

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
                return self._ended(InboundState.DROPPED, why=plan.why, by=plan.by)
            case "hold":
                return self._set_aside(InboundState.HELD, plan.by, plan.why)
            case "delay":
                return self._set_aside(InboundState.DELAYED, plan.by, plan.why, plan.delay_seconds)
            case never:
                assert_never(never)

    async def _pipeline(self, plan: Plan) -> Ending | None:
        message = self._envelope.message
        unaddressed = message.conversation.kind != "direct" and not message.mentions_me
        if unaddressed and message.channel in self._stages.mention_only:
            if plan.forwards:
                return None
            return self._ended(InboundState.DONE, why="said in a group without mentioning the gateway", by="walk")
        self._report(EnvelopeRouted(self._envelope.id, plan.pipeline, plan.by))
        release = self._envelope.release
        if release is not None and release.pipeline == plan.pipeline:  # it answered before a hook held the answer
            self._produced = Produced(release.texts)
            return None
        self._produced = await self._stages.run(self._envelope, plan, self._turn)
        self._marks["pipeline"] = perf_counter() - self._began
        return None

    async def _answer(self, plan: Plan) -> Ending:
        """Put what was produced and forwarded through the outbound hooks."""
        produced, envelope = self._produced, self._envelope
        drafts = [self._reply(text) for text in produced.texts if text]
        if plan.forwards:
            drafts += self._forwards(plan)
        checked: list[Message] = []
        chain, notes = self._stages.outbound, self._notes
        for draft in drafts:
            verdict = await chain.run(envelope, draft, self._turn, notes) if chain.links else Passed(draft)
            match verdict:
                case Passed():
                    checked.append(verdict.message)
                case Rejected(by, why, tell):
                    return self._rejected("outbound hooks", by, why, tell)
                case Held():
                    return self._held(verdict)
        self._marks["outbound"] = perf_counter() - self._began
        if produced.failed:
            self._report(EnvelopeBuried(envelope.id, self._came_in.channel, produced.failed))
            return self._ended(InboundState.DEAD, tuple(checked), why=produced.failed, by=plan.pipeline)
        return self._ended(_DONE, tuple(checked))

    def _reply(self, text: str) -> Message:
        came_in = self._came_in
        return Message(
            channel=came_in.channel,
            platform=came_in.platform,
            content=storable(text),
            conversation=came_in.conversation,
            reply_to=came_in.id,
            metadata=self._stages.address_of(came_in),
        )

    def _forwards(self, plan: Plan) -> list[Message]:
        message, platform_of = self._envelope.message, self._stages.platform_of
        return [
            Message(
                channel=channel,
                platform=platform_of(channel),
                content=message.content,
                conversation=Conversation(id=to, kind="channel"),
                attachments=message.attachments,
                metadata={"forwarded_from": {"channel": message.channel, "sender": message.sender.name}},
            )
            for channel, to in plan.forwards
        ]

    def _rejected(self, stage: str, by: str, why: str, tell: str) -> Ending:
        self._report(EnvelopeRejected(self._envelope.id, self._came_in.channel, stage, by, why))
        replies = (self._reply(tell),) if tell else ()
        return self._ended(InboundState.REJECTED, replies, why=why, by=by, tell=tell)

    def _held(self, held: Held) -> Ending:
        """Wait for a person, and keep what spares the message this hook, and its pipeline, when it is let go."""
        produced, plan = self._produced, self._plan
        before = self._envelope.release or Release()
        release = replace(before, hooks=(*before.hooks, held.hook)) if held.hook else before
        if plan.kind == "pipeline" and not produced.failed and sum(map(len, produced.texts)) <= _MOST_KEPT_CHARACTERS:
            release = replace(release, pipeline=plan.pipeline, texts=produced.texts)
        anew = not held.hook and plan is _NO_PLAN
        return self._set_aside(InboundState.HELD, held.by, held.why, release=release, anew=anew)

    def _set_aside(
        self,
        state: InboundState,
        by: str,
        why: str,
        delay_seconds: float = 0.0,
        release: Release | None = None,
        *,
        anew: bool = False,
    ) -> Ending:
        self._report(EnvelopeSetAside(self._envelope.id, self._came_in.channel, state.value, why))
        return self._ended(state, why=why, by=by, delay_seconds=delay_seconds, release=release, anew=anew)

    def _unrouted(self) -> Ending:
        message = self._came_in
        if message.action != "new" or message.type in ("reaction", "event"):
            why = f"no rule is about this {message.action} {message.type}"
            return self._ended(InboundState.DONE, why=why, by="walk")
        self._report(EnvelopeUnrouted(self._envelope.id, message.channel))
        return self._ended(InboundState.UNROUTED, why="no rule and no default pipeline took it", by="walk")

    def _ended(
        self,
        state: InboundState,
        replies: tuple[Message, ...] = (),
        *,
        why: str = "",
        by: str = "",
        tell: str = "",
        delay_seconds: float = 0.0,
        release: Release | None = None,
        anew: bool = False,
    ) -> Ending:
        """End here, with the story of how it came to that and with what went out while it was being written."""
        self._marks["end"] = perf_counter() - self._began
        plan, produced, envelope = self._plan, self._produced, self._envelope
        story = Story(
            attempt=envelope.attempt,
            passed=envelope.passed or envelope.delayed or envelope.release is not None,
            delayed=anew and envelope.delayed,
            anew=anew and not envelope.passed,
            stages=self._marks,
            hooks=tuple(self._notes),
            rules=plan.rules,
            actions=plan.actions,
            pipeline=plan.pipeline,
            steps=produced.steps,
            tags=plan.tags,
            by=by,
            why=why,
            tell=tell,
            release=release or envelope.release,
        )
        return Ending(state, replies, why, by, tell, delay_seconds, story, produced.streamed, produced.repeated)
