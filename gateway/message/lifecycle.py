"""The named states of a message and of a delivery, and which may follow which.

Pure data: the journal refuses and counts any other transition, and the drawing in
`gateway/journal/README.md` is printed from these tables.
"""

from __future__ import annotations

from enum import StrEnum


class InboundState(StrEnum):
    """Where an accepted message stands. Exactly one at any time, from the accepting commit on."""

    ACCEPTED = "accepted"  # committed, waiting for or on its walk
    HELD = "held"  # set aside by a rule or hook until a person releases it
    DELAYED = "delayed"  # set aside by a rule until its due time
    DONE = "done"  # walked to the end; its replies are deliveries of their own
    REJECTED = "rejected"  # a hook or rule refused it, with a reason
    DROPPED = "dropped"  # a rule or a person discarded it, with a reason
    UNROUTED = "unrouted"  # no rule and no default pipeline took it
    DEAD = "dead"  # gave up after its attempts; kept for retry


class DeliveryState(StrEnum):
    """Where one reply to one destination stands."""

    PENDING = "pending"  # intent committed, waiting for its turn
    SENDING = "sending"  # durable mark before a send that cannot be repeated safely
    STREAMING = "streaming"  # a streamed reply whose text is not complete yet
    DEFERRED = "deferred"  # failed in a way that may pass; waits for its next attempt
    UNKNOWN = "unknown"  # sent, no answer, no idempotency key: a person decides
    DELIVERED = "delivered"
    DEAD = "dead"  # bounced, expired or out of attempts; kept for retry
    DROPPED = "dropped"  # a person discarded it


INBOUND: dict[InboundState, frozenset[InboundState]] = {
    InboundState.ACCEPTED: frozenset(InboundState) - {InboundState.ACCEPTED},
    InboundState.HELD: frozenset({InboundState.ACCEPTED, InboundState.DROPPED}),
    InboundState.DELAYED: frozenset({InboundState.ACCEPTED, InboundState.DROPPED}),
    InboundState.DONE: frozenset(),
    InboundState.REJECTED: frozenset(),  # final: whoever sent it may have been told, and have acted on it
    InboundState.DROPPED: frozenset(),
    InboundState.UNROUTED: frozenset({InboundState.ACCEPTED, InboundState.DROPPED}),
    InboundState.DEAD: frozenset({InboundState.ACCEPTED, InboundState.DROPPED}),
}

_ENDS = {DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.DROPPED}

DELIVERY: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset(
        {DeliveryState.SENDING, DeliveryState.STREAMING, DeliveryState.DEFERRED, DeliveryState.UNKNOWN} | _ENDS
    ),
    DeliveryState.SENDING: frozenset({DeliveryState.DEFERRED, DeliveryState.UNKNOWN} | _ENDS),
    DeliveryState.STREAMING: frozenset({DeliveryState.DEFERRED, DeliveryState.UNKNOWN} | _ENDS),
    DeliveryState.DEFERRED: frozenset(
        {DeliveryState.SENDING, DeliveryState.STREAMING, DeliveryState.DEFERRED, DeliveryState.UNKNOWN} | _ENDS
    ),
    DeliveryState.UNKNOWN: frozenset({DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DROPPED}),
    DeliveryState.DELIVERED: frozenset(),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.DROPPED}),
    DeliveryState.DROPPED: frozenset(),
}
