"""Let each sender speak only so often: a token bucket for each, the least recent ones forgotten.

A sender may say `burst` messages at once, and regains `messages` in `seconds`. Kept in memory alone: after a
restart everybody starts with a full bucket.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from gateway.errors import Reject
from gateway.flow.throttle import shortened
from gateway.message.draft import Draft

if TYPE_CHECKING:
    from gateway.ports import Kit


class Settings(Struct, frozen=True, kw_only=True):
    """`burst` 0 stands for `messages`. `max_senders` bounds memory, at some 250 bytes a sender."""

    messages: Annotated[int, Meta(ge=1)] = 20
    seconds: Annotated[float, Meta(gt=0)] = 60.0
    burst: Annotated[int, Meta(ge=0)] = 0
    max_senders: Annotated[int, Meta(ge=1)] = 10_000


class Bucket(Struct):
    """What a sender had left, and when."""

    tokens: float
    at: float


def build(settings: Settings, kit: Kit) -> Callable[[Draft], None]:
    """Return the hook, with every bucket full."""
    full, refill = float(settings.burst or settings.messages), settings.messages / settings.seconds
    buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def rate_limit(message: Draft) -> None:
        # Where a platform names no sender, the conversation stands for one.
        key = (message.channel, shortened(message.sender.id or message.conversation.id))
        now = kit.now()
        bucket = buckets.get(key)
        if bucket is None:
            bucket = buckets[key] = Bucket(full, now)
            if len(buckets) > settings.max_senders:
                buckets.popitem(last=False)
        buckets.move_to_end(key)
        # The wall clock may be set back; that must not cost anybody tokens.
        bucket.tokens = min(full, bucket.tokens + max(0.0, now - bucket.at) * refill)
        bucket.at = now
        if bucket.tokens < 1.0:
            raise Reject(f"the sender's limit of {settings.messages} messages in {settings.seconds:g} s is used up")
        bucket.tokens -= 1.0

    return rate_limit
