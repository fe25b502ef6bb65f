"""Read the journal for a person: traces, dead letters, held messages. The reading half of `Control`.

A record that does not open (a lost key, damage) is listed all the same, with that as its
reason: what cannot be read must not be lost from sight.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.api.control import DeadLetter, DeadStory, HeldMessage, Kind, Trace
from gateway.api.errors import NotThere
from gateway.api.tracing import Opened, last_word, place_of, trace_of
from gateway.errors import SealError
from gateway.flow.story import Attempt, Story
from gateway.message.envelope import Delivery, Envelope
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.seal import RecordKind, Sealer
from gateway.ports import DeliveryRow, InboundRow, Journal

# As much as a table's column shows.
PREVIEW = 60


class Records:
    """Reads through the journal's own snapshot reads; nothing here changes anything."""

    def __init__(self, journal: Journal, sealer: Sealer) -> None:
        self._journal, self._sealer = journal, sealer

    async def trace(self, record_id: str) -> Trace:
        """Tell a message's life; a delivery's id is taken for its message's. Raises NotThere."""
        row = await self._journal.message(record_id)
        if row is None and (delivery := await self._journal.delivery(record_id)) is not None:
            row = await self._journal.message(delivery.envelope_id)
        if row is None:
            raise NotThere(f"No message or delivery has the id {record_id[:100]}, or it is past retention.")
        replies = [self._opened(each) for each in await self._journal.deliveries_of(row.id)]
        return trace_of(row, self._envelope(row), self._story(row), replies)

    async def dead(self, kind: Kind | None, *, limit: int) -> Sequence[DeadLetter]:
        """List dead letters and deliveries of unknown outcome, oldest first."""
        found: list[DeadLetter] = []
        if kind != "delivery":
            rows = await self._journal.inbound_in(InboundState.DEAD, limit=limit)
            found += [self._dead_message(row) for row in rows]
        if kind != "inbound":
            for state in (DeliveryState.DEAD, DeliveryState.UNKNOWN):
                found += [self._dead_delivery(row) for row in await self._journal.deliveries_in(state, limit=limit)]
        return sorted(found, key=lambda letter: letter.changed_at)[:limit]

    async def dead_letter(self, letter_id: str) -> DeadStory:
        """Show one with its whole story. Raises NotThere, also for what is not (or no longer) dead."""
        letter = None
        if (delivery := await self._journal.delivery(letter_id)) is not None:
            if delivery.state in (DeliveryState.DEAD, DeliveryState.UNKNOWN):
                letter = self._dead_delivery(delivery)
        elif (message := await self._journal.message(letter_id)) is not None and message.state is InboundState.DEAD:
            letter = self._dead_message(message)
        if letter is None:
            raise NotThere(f"No dead letter has the id {letter_id[:100]}.")
        return DeadStory(letter, await self.trace(letter_id))

    async def held(self, *, limit: int) -> Sequence[HeldMessage]:
        """List what is held for a person or delayed, oldest first."""
        rows = [
            row
            for state in (InboundState.HELD, InboundState.DELAYED)
            for row in await self._journal.inbound_in(state, limit=limit)
        ]
        return [self._held(row) for row in sorted(rows, key=lambda row: row.seq)[:limit]]

    def _dead_message(self, row: InboundRow) -> DeadLetter:
        envelope, story = self._envelope(row), self._story(row)
        return DeadLetter(
            id=row.id,
            kind="inbound",
            channel=row.channel,
            conversation=place_of(envelope.message.conversation) if envelope else "",
            state=row.state,
            why=_why(envelope, story.why if story else ""),
            attempt=row.attempt,
            created_at=row.received_at,
            changed_at=row.changed_at,
            preview=_preview(envelope),
        )

    def _dead_delivery(self, row: DeliveryRow) -> DeadLetter:
        opened = self._opened(row)
        return DeadLetter(
            id=row.id,
            kind="delivery",
            channel=row.channel,
            conversation=place_of(opened.delivery.message.conversation) if opened.delivery else "",
            state=row.state,
            why=_why(opened.delivery, last_word(opened.notes)),
            attempt=row.attempt,
            created_at=row.created_at,
            changed_at=row.changed_at,
            preview=_preview(opened.delivery),
        )

    def _held(self, row: InboundRow) -> HeldMessage:
        envelope, story = self._envelope(row), self._story(row) or Story()
        sender = envelope.message.sender if envelope else None
        return HeldMessage(
            id=row.id,
            channel=row.channel,
            conversation=place_of(envelope.message.conversation) if envelope else "",
            sender=sender.name or sender.id if sender else "",
            state=row.state,
            by=story.by,
            why=_why(envelope, story.why),
            received_at=row.received_at,
            due_at=row.due_at,
            preview=_preview(envelope),
        )

    def _opened(self, row: DeliveryRow) -> Opened:
        notes = tuple(note for sealed in row.notes if (note := self._note(row.id, sealed)) is not None)
        try:
            delivery = self._sealer.open(RecordKind.DELIVERY, row.id, row.sealed, Delivery)
        except SealError:
            return Opened(row, None, notes)
        return Opened(row, delivery, notes)

    def _note(self, record_id: str, sealed: bytes) -> Attempt | Story | None:
        """Open a delivery's note: an attempt, or a person's decision, which has the form of a story."""
        try:
            return self._sealer.open(RecordKind.NOTE, record_id, sealed, Attempt)
        except SealError:
            pass
        try:
            return self._sealer.open(RecordKind.NOTE, record_id, sealed, Story)
        except SealError:
            return None

    def _envelope(self, row: InboundRow) -> Envelope | None:
        try:
            return self._sealer.open(RecordKind.ENVELOPE, row.id, row.sealed, Envelope)
        except SealError:
            return None

    def _story(self, row: InboundRow) -> Story | None:
        try:
            return self._sealer.open(RecordKind.NOTE, row.id, row.note, Story) if row.note else None
        except SealError:
            return None


def _why(record: Envelope | Delivery | None, why: str) -> str:
    return why if record is not None else f"{why} (its record does not open: is a key of the key ring missing?)".strip()


def _preview(record: Envelope | Delivery | None) -> str:
    text = " ".join(record.message.content.split()) if record else ""
    return text if len(text) <= PREVIEW else text[: PREVIEW - 1] + "…"
