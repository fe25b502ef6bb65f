"""A row of the journal opens the same wherever its story and its reply stand, and nothing else opens."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import SealError
from gateway.flow.rows import delivery_in, envelope_in, story_in
from gateway.flow.story import Story
from gateway.message.dictionary import Dictionaries
from gateway.message.envelope import Delivery, Envelope
from gateway.message.keyring import new_keyring
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Message
from gateway.message.seal import RecordKind, Sealer
from gateway.records import DeliveryRow, InboundRow
from tests.message.strategies import deliveries, envelopes

SEALER = Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom)
STORY = Story(stages={"end": 0.01}, pipeline="faq", why="said so")
LATER = Story(by="operator", why="released")


def row(id: str, sealed: bytes, note: bytes = b"") -> InboundRow:
    return InboundRow(
        seq=1,
        id=id,
        channel="web",
        state=InboundState.DONE,
        attempt=1,
        received_at=1.0,
        changed_at=2.0,
        due_at=0.0,
        lane=b"l",
        sealed=sealed,
        note=note,
    )


def sealed_alone(envelope: Envelope) -> bytes:
    return SEALER.seal(RecordKind.ENVELOPE, envelope.id, envelope)


def sealed_whole(envelope: Envelope, *replies: Delivery) -> bytes:
    id = envelope.id
    parts = [SEALER.encode(RecordKind.ENVELOPE, id, envelope), SEALER.encode(RecordKind.NOTE, id, STORY)]
    parts += [SEALER.encode(RecordKind.DELIVERY, reply.id, reply) for reply in replies]
    return SEALER.seal_together(RecordKind.WALKED, id, *parts)


def reply_row(id: str, sealed: bytes, envelope_id: str = "e-1") -> DeliveryRow:
    return DeliveryRow(
        seq=1,
        id=id,
        envelope_id=envelope_id,
        channel="web",
        state=DeliveryState.PENDING,
        attempt=0,
        created_at=1.0,
        changed_at=1.0,
        due_at=0.0,
        expires_at=9.0,
        destination=b"d",
        sealed=sealed,
        notes=(),
    )


def noted(id: str, story: Story) -> bytes:
    return SEALER.seal(RecordKind.NOTE, id, story)


@settings(max_examples=50)
@given(envelopes)
def test_both_forms_of_a_row_open_to_the_same_message_and_story(envelope: Envelope) -> None:
    apart = row(envelope.id, sealed_alone(envelope), noted(envelope.id, STORY))
    whole = row(envelope.id, sealed_whole(envelope))
    for each in (apart, whole):
        assert (envelope_in(SEALER, each), story_in(SEALER, each)) == (envelope, STORY)


ENVELOPE = Envelope(id="e-1", message=Message(channel="web", content="hello"), received_at=1.0, deadline=1.2)


@settings(max_examples=50)
@given(envelopes, deliveries)
def test_a_reply_opens_the_same_from_its_messages_record_and_beside_the_message(
    envelope: Envelope, reply: Delivery
) -> None:
    reply = replace(reply, envelope_id=envelope.id)
    whole = sealed_whole(envelope, reply)
    alone = SEALER.seal(RecordKind.DELIVERY, reply.id, reply)
    for sealed in (whole, alone):
        assert delivery_in(SEALER, reply_row(reply.id, sealed, envelope.id)) == reply
    both = row(envelope.id, whole)
    assert (envelope_in(SEALER, both), story_in(SEALER, both)) == (envelope, STORY)


def test_a_reply_that_its_messages_record_does_not_hold_is_not_found_there() -> None:
    reply = Delivery(id="e-1.0", envelope_id="e-1", message=ENVELOPE.message, created_at=1.0, expires_at=9.0)
    for sealed, id, envelope_id in (
        (sealed_whole(ENVELOPE), "e-1.0", "e-1"),
        (sealed_whole(ENVELOPE, reply), "e-1.1", "e-1"),
        (sealed_whole(ENVELOPE, reply), "e-1.0", "e-2"),
    ):
        with pytest.raises(SealError):
            delivery_in(SEALER, reply_row(id, sealed, envelope_id))


def test_a_message_that_was_not_walked_yet_has_no_story() -> None:
    fresh = row("e-1", sealed_alone(ENVELOPE))
    assert (envelope_in(SEALER, fresh), story_in(SEALER, fresh)) == (ENVELOPE, None)


def test_what_was_noted_later_takes_the_place_of_the_story() -> None:
    revived = row("e-1", sealed_whole(ENVELOPE), noted("e-1", LATER))
    assert (envelope_in(SEALER, revived), story_in(SEALER, revived)) == (ENVELOPE, LATER)


def test_a_row_does_not_open_under_another_id_and_a_note_is_no_message() -> None:
    for sealed in (sealed_alone(ENVELOPE), sealed_whole(ENVELOPE)):
        with pytest.raises(SealError):
            envelope_in(SEALER, row("e-2", sealed))
    with pytest.raises(SealError):
        story_in(SEALER, row("e-2", sealed_whole(ENVELOPE)))
    with pytest.raises(SealError):
        envelope_in(SEALER, row("e-1", noted("e-1", STORY)))
    with pytest.raises(SealError):
        story_in(SEALER, row("e-1", sealed_whole(ENVELOPE), sealed_whole(ENVELOPE)))


@given(st.binary(max_size=60), st.integers(0, 255))
def test_foreign_bytes_in_a_row_raise_nothing_but_a_seal_error(foreign: bytes, kind: int) -> None:
    for sealed in (foreign, foreign[:4] + bytes((kind,)) + foreign[5:]):
        with pytest.raises(SealError):
            envelope_in(SEALER, replace(row("e-1", b""), sealed=sealed))
