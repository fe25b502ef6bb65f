"""Tell a message's whole life from what the journal keeps of it. Pure: opened records in, `Trace` out.

The journal keeps moments of commits, and the story keeps offsets from the beginning of the
walk; the walk ends where its commit begins, so the two can be put on one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from msgspec import Struct

from gateway.api.control import DeliveryTrace, Trace, TraceStep
from gateway.flow.story import Attempt, Story
from gateway.message.envelope import Delivery, Envelope
from gateway.message.message import Conversation
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.ports import DeliveryRow, InboundRow


class Opened(Struct, frozen=True):
    """A delivery as the journal keeps it: its row, its text, and what was noted of its attempts."""

    row: DeliveryRow
    delivery: Delivery | None
    notes: tuple[Attempt | Story, ...]


def trace_of(row: InboundRow, envelope: Envelope | None, story: Story | None, replies: Sequence[Opened]) -> Trace:
    """Put it together, oldest first. `envelope` is None when it does not open; what is known is told all the same."""
    message = envelope.message if envelope else None
    return Trace(
        id=row.id,
        channel=row.channel,
        platform=message.platform if message else "",
        conversation=place_of(message.conversation) if message else "",
        sender=message.sender.name or message.sender.id if message else "",
        state=row.state,
        received_at=row.received_at,
        changed_at=row.changed_at,
        attempt=row.attempt,
        traceparent=envelope.trace if envelope else "",
        gateway_seconds=_ours(story),
        content=message.content if message else "",
        steps=tuple(_inbound_steps(row, story)),
        deliveries=tuple(_reply(each) for each in replies),
    )


def place_of(conversation: Conversation) -> str:
    """Name a conversation, with its thread where it has one."""
    return f"{conversation.id} / {conversation.thread}" if conversation.thread else conversation.id


def last_word(notes: Sequence[Attempt | Story]) -> str:
    """Say why a delivery stands as it does: the reason in its last note."""
    if not notes:
        return ""
    last = notes[-1]
    return last.why if isinstance(last, Story) else _outcome(last.receipt)[1]


def _ours(story: Story | None) -> float:
    """Take the pipeline's steps from the walk's time: what a model takes is not ours."""
    if story is None:
        return 0.0
    return max(0.0, story.stages.get("end", 0.0) - sum(step.seconds for step in story.steps))


def _inbound_steps(row: InboundRow, story: Story | None) -> Iterator[TraceStep]:
    yield TraceStep(at=row.received_at, stage="accept", outcome="committed", attempt=row.attempt)
    if story is None:
        return
    began = row.changed_at - story.stages.get("end", 0.0)
    hooked = began + story.stages.get("hooks", 0.0)
    routed = began + story.stages.get("route", 0.0)
    for hook in story.hooks:
        yield TraceStep(at=hooked, stage="hook", outcome=hook.verdict, by=hook.name, why=hook.why, seconds=hook.seconds)
    for rule in story.rules:
        yield TraceStep(at=routed, stage="rule", outcome="matched", by=rule)
    if story.actions or story.pipeline:
        actions = ", ".join(story.actions)
        yield TraceStep(at=routed, stage="route", outcome=story.pipeline or actions, why=actions)
    for step in story.steps:
        at = began + story.stages.get("pipeline", story.stages.get("end", 0.0))
        outcome = "failed" if step.why else "answered"
        by = f"{step.name} ({step.model})" if step.model else step.name
        yield TraceStep(
            at=at, stage="step", outcome=outcome, by=by, why=step.why, seconds=step.seconds, attempt=step.tries
        )
    stage = "person" if story.by == "operator" else "settle"
    yield TraceStep(at=row.changed_at, stage=stage, outcome=row.state, by=story.by, why=story.why)


def _reply(opened: Opened) -> DeliveryTrace:
    row, delivery = opened.row, opened.delivery
    created = TraceStep(at=row.created_at, stage="reply", outcome="committed")
    attempts = [_attempt(note, row) for note in opened.notes]
    if row.state == "delivered" and not attempts:
        # A first attempt that got through leaves no note of its own: the row's moment is its receipt.
        attempts = [TraceStep(at=row.changed_at, stage="attempt", outcome="delivered", attempt=row.attempt)]
    return DeliveryTrace(
        id=row.id,
        channel=row.channel,
        conversation=place_of(delivery.message.conversation) if delivery else "",
        state=row.state,
        created_at=row.created_at,
        expires_at=row.expires_at,
        attempt=row.attempt,
        due_at=row.due_at,
        content=delivery.message.content if delivery else "",
        steps=(created, *attempts),
    )


def _attempt(note: Attempt | Story, row: DeliveryRow) -> TraceStep:
    if isinstance(note, Story):
        return TraceStep(at=row.changed_at, stage="person", outcome=row.state, by=note.by, why=note.why)
    outcome, why = _outcome(note.receipt)
    return TraceStep(
        at=note.at, stage="attempt", outcome=outcome, by=note.by, why=why, seconds=note.seconds, attempt=note.number
    )


def _outcome(receipt: Receipt) -> tuple[str, str]:
    match receipt:
        case Delivered(remote_id):
            return "delivered", f"the platform calls it {remote_id}" if remote_id else ""
        case Deferred(why):
            return "deferred", why
        case Bounced(why):
            return "bounced", why
        case Unknown(why):
            return "unknown", why
        case never:
            assert_never(never)
