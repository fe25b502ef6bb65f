"""What the journal is given to do, what it answers, and the rows it gives back. Values, nothing else.

The journal knows no message: contents are sealed bytes, and what must be found are keyed digests.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.message.lifecycle import DeliveryState, InboundState


class InboundRecord(Struct, frozen=True, kw_only=True):
    """An accepted message as the journal sees it: sealed bytes, and keyed digests for what must be found."""

    id: str
    channel: str
    dedupe: bytes  # digest of (channel, dedupe key); empty when the message has none
    dedupe_seconds: float  # how long the digest stays known
    lane: bytes  # digest of the conversation
    sender: bytes
    received_at: float
    sealed: bytes


class DeliveryRecord(Struct, frozen=True, kw_only=True):
    """A reply's intent as the journal sees it, under an id that is new.

    What was streamed before the hand-over may be born in another state than PENDING, but not DEFERRED, DEAD or DROPPED.
    `sealed` may be empty where message and end are accepted together and the reply stands in the message's record.
    """

    id: str
    envelope_id: str
    channel: str
    destination: bytes
    created_at: float
    expires_at: float
    sealed: bytes
    state: DeliveryState = DeliveryState.PENDING


class Accept(Struct, frozen=True):
    """Store messages; the outcome is one `Stored` or `Known` for each, in order.

    `end` is how the walk of the only one ended, where that is known already: then it is stored in its end state,
    with its replies, or, when it is `Known`, nothing of it.
    """

    records: tuple[InboundRecord, ...]
    cursor: tuple[str, str, bytes] | None = None  # channel, name, sealed value
    end: HandOver | None = None


class HandOver(Struct, frozen=True, kw_only=True):
    """End a message's walk and store its replies' intents, in one transaction. `note` is the sealed story.

    `due_at` belongs to DELAYED. The outcome is `Moved`, or `Impossible` when the message is elsewhere by now or a
    delivery of that id exists, and then nothing is stored.
    """

    id: str
    state: InboundState
    at: float
    note: bytes = b""
    deliveries: tuple[DeliveryRecord, ...] = ()
    due_at: float = 0.0


class Settle(Struct, frozen=True, kw_only=True):
    """Record what one attempt, or a person, made of a delivery. `sealed` replaces the reply when given.

    `due_at` belongs to DEFERRED. The outcome is `Moved` or `Impossible`.
    """

    id: str
    state: DeliveryState
    at: float
    attempt: int
    note: bytes = b""
    due_at: float = 0.0
    sealed: bytes = b""


class Revive(Struct, frozen=True, kw_only=True):
    """A person retries, releases or drops, or a delay is over: move a message (`to` an InboundState) or a delivery.

    What becomes ACCEPTED or PENDING again re-enters at the tail: it gets a new `seq` and its attempts start anew.
    `expires_at` replaces a delivery's, when given: a dead letter is often past its own.
    """

    id: str
    to: InboundState | DeliveryState
    at: float
    note: bytes = b""
    expires_at: float = 0.0


Work = Accept | HandOver | Settle | Revive


class Stored(Struct, frozen=True):
    """The message is committed as number `seq` of the journal."""

    seq: int


class Known(Struct, frozen=True):
    """The message was accepted before, as this envelope."""

    id: str


class Moved(Struct, frozen=True):
    """The transition is committed."""


class Impossible(Struct, frozen=True):
    """The transition is not in the table, or the record is gone; nothing changed."""

    why: str


class Failed(Struct, frozen=True):
    """The commit failed (disk full, I/O error); nothing of this work is stored."""

    why: str


Outcome = tuple[Stored | Known, ...] | Moved | Impossible | Failed


class InboundRow(Struct, frozen=True, kw_only=True):
    """An inbound message read back; `note` is its sealed story so far: the last one that was given beside it.

    `attempt` is the number of its next walk: 1 at first, and one more for each crash that it is blamed for.
    """

    seq: int
    id: str
    channel: str
    state: InboundState
    attempt: int
    received_at: float
    changed_at: float
    due_at: float
    lane: bytes
    sealed: bytes
    note: bytes


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """A delivery read back; `notes` are the sealed notes of its attempts, oldest first.

    `sealed` is the message's record where the reply was stored in that.

    `attempt` counts the attempts that have ended: 0 at first; a `Settle` to SENDING or STREAMING leaves it, any other
    sets it, and a stop that found the delivery SENDING or STREAMING adds one. The next attempt is one more.
    """

    seq: int
    id: str
    envelope_id: str
    channel: str
    state: DeliveryState
    attempt: int
    created_at: float
    changed_at: float
    due_at: float
    expires_at: float
    destination: bytes
    sealed: bytes
    notes: tuple[bytes, ...]


class Recovered(Struct, frozen=True):
    """One page of what a stop left unfinished, oldest first; attempts of what was under way are counted.

    Pages of deliveries come before pages of messages, so that replies of new walks queue behind the old ones.
    Messages are ACCEPTED or DELAYED (with `due_at`), deliveries PENDING, SENDING, STREAMING or DEFERRED; what waits
    for a person does not come back by itself.
    """

    inbound: tuple[InboundRow, ...] = ()
    deliveries: tuple[DeliveryRow, ...] = ()
