"""A message plus what the gateway adds to it on its way through.

`Envelope` carries an inbound message; `Delivery` carries one reply to one destination.
Both are values: a stage that changes one makes another (`msgspec.structs.replace`).
"""

from __future__ import annotations

from msgspec import Struct

from gateway.message.message import Conversation, Message


class Release(Struct, frozen=True, omit_defaults=True):
    """What a message takes along that hooks held, once a person has put it back.

    `hooks` held it and hold it no more. `pipeline` had made `texts` of it by then and is not asked again; it is ''
    when none had.
    """

    hooks: tuple[str, ...] = ()
    pipeline: str = ""
    texts: tuple[str, ...] = ()


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One inbound message under way.

    `id` is a UUIDv7 in canonical form. `received_at` and `deadline` are seconds since the
    epoch; the deadline drives admission and metrics and never cancels what was accepted.
    `trace` is a W3C traceparent or empty. `attempt` is the number of this walk, of which those are counted
    that raised, or may have ended the process; `hops` counts the gateways it came through. `tags` are what rules wrote.
    `priority` is what rules asked for: higher goes first when the gateway is busy. `passed` says that
    a person put it back: it is neither held nor delayed again; `delayed` that its delay is over: none follows.
    `replies_before` counts the replies of its earlier walks, behind which new ones are numbered.
    `returned` says that a walk in an earlier life may have shown part of the reply already. `release` is what a
    person let pass.
    """

    id: str
    message: Message
    received_at: float
    deadline: float
    trace: str = ""
    attempt: int = 1
    hops: int = 0
    tags: tuple[str, ...] = ()
    priority: int = 0
    passed: bool = False
    delayed: bool = False
    replies_before: int = 0
    returned: bool = False
    release: Release | None = None


class Delivery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The task of getting one reply to one destination.

    `id` is derived from the envelope's id and the reply's index, so a re-run after a crash
    makes the same one; it is the idempotency key towards platforms that take one. Times are
    seconds since the epoch. `attempt` counts from 1; `repeated` says that an earlier attempt
    may have arrived although nobody told us (a crash or a lost answer).
    """

    id: str
    envelope_id: str
    message: Message
    created_at: float
    expires_at: float
    attempt: int = 1
    repeated: bool = False
    replayed: bool = False


def delivery_id(envelope_id: str, index: int) -> str:
    """Name the `index`-th reply to an envelope, the same at every run."""
    return f"{envelope_id}.{index}"


def lane_key(channel: str, conversation: Conversation) -> tuple[str, str, str]:
    """Name the ordering queue of a conversation: inbound lanes and outbound destinations share the form."""
    return (channel, conversation.id, conversation.thread)


def uuid7(now: float, randomness: bytes) -> str:
    """Build a UUIDv7 (RFC 9562, section 5.7) from `now` in epoch seconds and 10 random bytes."""
    stamp = int(now * 1000).to_bytes(6, "big")
    tail = bytes((0x70 | randomness[0] & 0x0F, randomness[1], 0x80 | randomness[2] & 0x3F)) + randomness[3:10]
    text = (stamp + tail).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
