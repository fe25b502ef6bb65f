"""Tell the life of a message out of its journal rows: what `oclaw trace`, `dead` and `held` show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from gateway.api.control import DeadLetter, DeliveryTrace, Explained, HeldMessage, Trace, TraceStep, Undelivered
from gateway.api.errors import NotThere
from gateway.daemon.counsel import what_now
from gateway.daemon.ruledesk import explained
from gateway.errors import SealError
from gateway.flow.rows import delivery_in, envelope_in, story_in
from gateway.flow.story import Attempt, Story
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.message.seal import RecordKind, Sealer
from gateway.ports import Journal
from gateway.records import DeliveryRow, InboundRow
from rules import Ruleset

PREVIEW = 80
_ARRIVED = (DeliveryState.DELIVERED, DeliveryState.DROPPED)
T = TypeVar("T")
Row = TypeVar("Row", InboundRow, DeliveryRow)


class Lives:
    """Reads rows and opens them. What does not open (a key is gone) is told without its content."""

    def __init__(self, journal: Journal, sealer: Sealer) -> None:
        self._journal, self._sealer = journal, sealer

    async def trace(self, some_id: str) -> Trace:
        """Tell a message's life; a delivery's id stands for its message's. Raises `NotThere`."""
        row = await self._journal.message(some_id.partition(".")[0])
        if row is None:
            raise NotThere(f"there is no message {some_id}; it may be past its retention")
        envelope = self._open(envelope_in, row)
        message = envelope.message if envelope else Message(channel=row.channel, content="(sealed under a lost key)")
        story = self._open(story_in, row)
        replies = await self._journal.deliveries_of(row.id)
        return Trace(
            id=row.id,
            channel=row.channel,
            platform=message.platform,
            conversation=message.conversation.id,
            sender=message.sender.name or message.sender.id,
            state=row.state.value,
            received_at=row.received_at,
            changed_at=row.changed_at,
            attempt=row.attempt,
            traceparent=envelope.trace if envelope else "",
            gateway_seconds=_share(row, story),
            content=message.content,
            held_answers=_held_answers(row, story),
            steps=_steps(row, story),
            deliveries=tuple([self._delivery(each) for each in replies]),
            what_now=what_now(row, replies),
        )

    async def undelivered(self, envelope_id: str, behind: Callable[[str], str]) -> tuple[str, tuple[Undelivered, ...]]:
        """Return what a person can do about a message, and those of its replies that have not arrived.

        `behind` says of a delivery that was not tried yet what it waits for.
        """
        row = await self._journal.message(envelope_id)
        replies = await self._journal.deliveries_of(envelope_id)
        told = tuple([self._not_there(each, behind) for each in replies if each.state not in _ARRIVED])
        return (what_now(row, replies) if row is not None else ""), told

    async def explained(self, envelope_id: str, ruleset: Ruleset) -> Explained:
        """Explain how `ruleset` decides on a journaled message. Raises `NotThere`."""
        row = await self._journal.message(envelope_id)
        envelope = self._open(envelope_in, row) if row else None
        if row is None or envelope is None:
            raise NotThere(f"there is no message {envelope_id} that can be opened; it may be past its retention")
        story = self._open(story_in, row)
        return await trio.to_thread.run_sync(explained, envelope, story, ruleset)

    def dead(self, row: InboundRow | DeliveryRow) -> DeadLetter:
        """Show a dead letter of either kind."""
        return self.dead_message(row) if isinstance(row, InboundRow) else self.dead_delivery(row)

    def dead_message(self, row: InboundRow) -> DeadLetter:
        """Show a message as a dead letter."""
        envelope = self._open(envelope_in, row)
        story = self._open(story_in, row)
        return DeadLetter(
            id=row.id,
            kind="inbound",
            channel=row.channel,
            conversation=envelope.message.conversation.id if envelope else "",
            state=row.state.value,
            why=story.why if story else "",
            attempt=row.attempt,
            created_at=row.received_at,
            changed_at=row.changed_at,
            preview=_preview(envelope.message.content if envelope else ""),
        )

    def dead_delivery(self, row: DeliveryRow) -> DeadLetter:
        """Show a delivery as a dead letter."""
        delivery = self._open(delivery_in, row)
        attempts = self._attempts(row)
        return DeadLetter(
            id=row.id,
            kind="delivery",
            channel=row.channel,
            conversation=delivery.message.conversation.id if delivery else "",
            state=row.state.value,
            why=attempts[-1].why if attempts else "",
            attempt=row.attempt,
            created_at=row.created_at,
            changed_at=row.changed_at,
            preview=_preview(delivery.message.content if delivery else ""),
        )

    def held(self, row: InboundRow) -> HeldMessage:
        """Show a message that is set aside."""
        envelope = self._open(envelope_in, row)
        story = self._open(story_in, row)
        message = envelope.message if envelope else None
        return HeldMessage(
            id=row.id,
            channel=row.channel,
            conversation=message.conversation.id if message else "",
            sender=message.sender.name or message.sender.id if message else "",
            state=row.state.value,
            by=story.by if story else "",
            why=story.why if story else "",
            received_at=row.received_at,
            due_at=row.due_at,
            preview=_preview(message.content if message else ""),
            answer=_preview(" ".join(_held_answers(row, story))),
        )

    def _not_there(self, row: DeliveryRow, behind: Callable[[str], str]) -> Undelivered:
        delivery, attempts = self._open(delivery_in, row), self._attempts(row)
        return Undelivered(
            id=row.id,
            channel=row.channel,
            conversation=delivery.message.conversation.id if delivery else "",
            state=row.state.value,
            expires_at=row.expires_at,
            why=attempts[-1].why if attempts else behind(row.id),
        )

    def _delivery(self, row: DeliveryRow) -> DeliveryTrace:
        delivery = self._open(delivery_in, row)
        steps = self._attempts(row)
        if not steps and row.state.value == "delivered":
            seconds = row.changed_at - row.created_at
            steps = (TraceStep(at=row.changed_at, stage="attempt", outcome="delivered", seconds=seconds, attempt=1),)
        return DeliveryTrace(
            id=row.id,
            channel=row.channel,
            conversation=delivery.message.conversation.id if delivery else "",
            state=row.state.value,
            created_at=row.created_at,
            expires_at=row.expires_at,
            attempt=row.attempt,
            due_at=row.due_at,
            content=delivery.message.content if delivery else "",
            steps=steps,
        )

    def _attempts(self, row: DeliveryRow) -> tuple[TraceStep, ...]:
        steps = []
        for note in row.notes:
            attempt = self._note(row, note, Attempt)
            if attempt is not None:
                steps.append(_attempt(attempt))
                continue
            person = self._note(row, note, Story)
            if person is not None:
                steps.append(
                    TraceStep(at=person.at or row.changed_at, stage="person", outcome=person.why, by=person.by)
                )
        return tuple(steps)

    def _open(self, opened: Callable[[Sealer, Row], T], row: Row) -> T | None:
        try:
            return opened(self._sealer, row)
        except SealError:
            return None

    def _note(self, row: DeliveryRow, note: bytes, shape: type[T]) -> T | None:
        return self._open(lambda sealer, row: sealer.open(RecordKind.NOTE, row.id, note, shape), row)


def _steps(row: InboundRow, story: Story | None) -> tuple[TraceStep, ...]:
    steps = [TraceStep(at=row.received_at, stage="accept", outcome="accepted", attempt=row.attempt)]
    if story is None:
        return tuple(steps)
    began = _began(row, story)
    if story.passed:
        steps.append(TraceStep(at=began, stage="return", outcome="no longer set aside"))
    ended = {name: began + offset for name, offset in story.stages.items()}
    walked = _walked_at(row, story)
    steps += _hooks(story, ended.get("hooks", walked), outbound=False)
    if "route" in ended:
        what = ", ".join(story.actions) or (f"default pipeline {story.pipeline}" if story.pipeline else "no action")
        steps.append(TraceStep(at=ended["route"], stage="route", outcome=what, by=", ".join(story.rules)))
    at = ended.get("pipeline", walked)
    steps += [
        TraceStep(
            at=at,
            stage="step",
            outcome="failed" if step.why else "answered",
            by=f"{story.pipeline}/{step.name}" + (f" ({step.model})" if step.model else ""),
            why=step.why,
            seconds=step.seconds,
            attempt=step.tries,
        )
        for step in story.steps
    ]
    steps += _hooks(story, ended.get("outbound", walked), outbound=True)
    steps.append(TraceStep(at=row.changed_at, stage="settle", outcome=row.state.value, by=story.by, why=story.why))
    return tuple(steps)


def _hooks(story: Story, at: float, *, outbound: bool) -> list[TraceStep]:
    """Tell of the hooks of one direction."""
    return [
        TraceStep(at=at, stage="hook", outcome=hook.verdict, by=hook.name, why=hook.why, seconds=hook.seconds)
        for hook in story.hooks
        if hook.outbound is outbound
    ]


def _attempt(attempt: Attempt) -> TraceStep:
    outcome, why = _outcome(attempt.receipt)
    return TraceStep(
        at=attempt.at,
        stage="attempt",
        outcome=outcome,
        by=attempt.by,
        why=why,
        seconds=attempt.seconds,
        attempt=attempt.number,
    )


def _outcome(receipt: Receipt) -> tuple[str, str]:
    match receipt:
        case Delivered(remote_id):
            return "delivered", f"as {remote_id}" if remote_id else ""
        case Deferred(why):
            return "deferred", why
        case Bounced(why):
            return "bounced", why
        case Unknown(why):
            return "unknown", why


def _began(row: InboundRow, story: Story) -> float:
    """When the walk began: later than the message came, if it waited for its turn."""
    walked = _walked_at(row, story)
    return max(row.received_at, walked - story.stages.get("end", walked))


def _walked_at(row: InboundRow, story: Story) -> float:
    """When the walk ended: when the row says, if nobody has dropped the message since."""
    return story.walked_at or row.changed_at


def _share(row: InboundRow, story: Story | None) -> float:
    """The gateway's own time: neither what a step took nor what a person, or a rule, let the message wait."""
    if story is None:
        return 0.0
    began = _began(row, story) if story.passed else row.received_at
    return max(0.0, _walked_at(row, story) - began - sum(step.seconds for step in story.steps))


def _held_answers(row: InboundRow, story: Story | None) -> tuple[str, ...]:
    """What a release would send, as far as it is known already."""
    release = story.release if story else None
    return release.texts if release and row.state is InboundState.HELD else ()


def _preview(content: str) -> str:
    line = " ".join(content.split())
    return line if len(line) <= PREVIEW else line[: PREVIEW - 1] + "…"
