"""How fast a platform may be sent to: token buckets for each conversation and for all of them together.

A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm),
so a thousand conversations cost a thousand floats and no timer. What the platform asks for
(`Retry-After`) holds its conversation, or everybody. A short wait is waited; a longer one goes back to
the outbox as `Deferred`, which keeps the order and frees the worker.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from msgspec import Struct

from gateway.message.receipt import Deferred

# Longer than this and the reply is better kept by the outbox: its attempt has a deadline (20 s by default).
PATIENCE_SECONDS = 5.0
# Conversations whose bucket is full again are forgotten at this many.
_MOST_BUCKETS = 10_000


class Rate(Struct, frozen=True):
    """`burst` at once, and one more every `seconds`."""

    seconds: float
    burst: int = 1


class Bucket:
    """One token bucket. Pure: the caller says what time it is."""

    __slots__ = ("_full_at", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at = 0.0

    def wait(self, now: float) -> float:
        """Return how long a token would have to be waited for."""
        return max(0.0, self._full_at - (self._rate.burst - 1) * self._rate.seconds - now)

    def take(self, now: float, cost: float = 1.0) -> float:
        """Take a token, in advance if need be; returns how long to wait before using it."""
        wait = self.wait(now)
        self._full_at = max(self._full_at, now) + self._rate.seconds * cost
        return wait

    def hold(self, until: float) -> None:
        """Give no token before `until`."""
        self._full_at = max(self._full_at, until + (self._rate.burst - 1) * self._rate.seconds)

    def full(self, now: float) -> bool:
        """Tell whether nothing would be lost by forgetting this bucket."""
        return self._full_at <= now


class Pace:
    """The rates of one account: `each` conversation, and `all` of them together; None means no bound."""

    def __init__(
        self, *, each: Rate | None = None, all: Rate | None = None, now: Callable[[], float] = trio.current_time
    ) -> None:
        self._each, self._now = each, now
        self._all = Bucket(all or Rate(0.0))
        self._buckets: dict[str, Bucket] = {}

    async def turn(
        self, key: str = "", *, cost: float = 1.0, patience_seconds: float = PATIENCE_SECONDS
    ) -> Deferred | None:
        """Wait for a turn; a `Deferred` (nothing is taken) when it would take longer than the patience.

        That was no attempt and says nothing about the platform: it is not counted.
        """
        now, bucket = self._now(), self._bucket(key)
        wait = max(bucket.wait(now), self._all.wait(now))
        if wait > patience_seconds:
            return Deferred("The platform's rate limit is reached.", wait, offline=True)
        wait = max(bucket.take(now, cost), self._all.take(now, cost))
        await trio.sleep(wait)
        return None

    def hold(self, seconds: float, key: str | None = None) -> None:
        """Obey a Retry-After: nothing to conversation `key`, or to anybody, for so long."""
        bucket = self._all if key is None else self._bucket(key)
        bucket.hold(self._now() + seconds)

    def _bucket(self, key: str) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                now = self._now()
                self._buckets = {key: each for key, each in self._buckets.items() if not each.full(now)}
            bucket = self._buckets[key] = Bucket(self._each or Rate(0.0))
        return bucket
