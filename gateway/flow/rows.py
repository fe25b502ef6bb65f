"""Open the journal's rows: the message in one, the story of its walk, the reply.

The only place that knows in which record what stands. A message that was walked while its accepting commit was
under way shares a record with its story, and with the reply if that is one, while all of it is short; any other has a
record of its own, its story one beside it, and each reply another. A note that was written later (a person's word,
another walk) takes the story's place.
"""

from __future__ import annotations

from gateway.errors import WrongRecord
from gateway.flow.story import Story, Walked
from gateway.message.envelope import Delivery, Envelope
from gateway.message.seal import RecordKind, Sealer, kind_of
from gateway.records import DeliveryRow, InboundRow


def envelope_in(sealer: Sealer, row: InboundRow) -> Envelope:
    """Open the message, as it was accepted. Raises `SealError`."""
    if kind_of(row.sealed) == RecordKind.WALKED:
        return sealer.open(RecordKind.WALKED, row.id, row.sealed, Walked).envelope
    return sealer.open(RecordKind.ENVELOPE, row.id, row.sealed, Envelope)


def story_in(sealer: Sealer, row: InboundRow) -> Story | None:
    """Open the story of the last walk, or what a person did since; None before the first end. Raises `SealError`."""
    if row.note:
        return sealer.open(RecordKind.NOTE, row.id, row.note, Story)
    if kind_of(row.sealed) == RecordKind.WALKED:
        return sealer.open(RecordKind.WALKED, row.id, row.sealed, Walked).story
    return None


def delivery_in(sealer: Sealer, row: DeliveryRow) -> Delivery:
    """Open the reply. Raises `SealError`."""
    if kind_of(row.sealed) == RecordKind.WALKED:
        reply = sealer.open(RecordKind.WALKED, row.envelope_id, row.sealed, Walked).reply
        if reply is None or reply.id != row.id:
            raise WrongRecord(f"delivery {row.id}: the record of its message holds no reply of that name.")
        return reply
    return sealer.open(RecordKind.DELIVERY, row.id, row.sealed, Delivery)
