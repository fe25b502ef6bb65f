"""When a delivery is tried again, and when a destination is left alone for a while.

Pure: moments and random numbers come in as arguments.
"""

from __future__ import annotations

from msgspec import Struct


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Exponential pauses with jitter, a cap, and an end. Seconds."""

    first_seconds: float = 1.0
    factor: float = 2.0
    cap_seconds: float = 300.0
    attempts: int = 20
    attempt_seconds: float = 30.0
    expiry_seconds: float = 86_400.0


def pause(policy: RetryPolicy, attempt: int, spread: float, asked: float | None) -> float:
    """Return the pause after failed attempt number `attempt` (from 1); `spread` is random in [0, 1).

    What the destination asked for (`Retry-After`) is a lower bound, never cut short by our own cap, and ends with the
    time in which a delivery lives at the latest.
    """
    own = min(policy.cap_seconds, policy.first_seconds * policy.factor ** min(attempt - 1, 60))
    jittered = own * (0.5 + spread / 2)
    return jittered if asked is None else min(max(0.0, asked), policy.expiry_seconds) + jittered * 0.1


class Breaker(Struct):
    """A circuit shared by the destinations behind one address: after failures in a row, one probe at a time."""

    failures: int = 0
    open_until: float = 0.0
    probing: bool = False


# Five in a row is an outage and not bad luck; a platform that fails one call in ten trips it once in 100,000.
TRIP = 5
# A destination that is well again is found out within half a minute, or the operator's own longest pause.
LONGEST_OPEN = 30.0


def may_send(breaker: Breaker, now: float) -> bool:
    """Say whether an attempt may go out; the first one after the pause is the probe."""
    if breaker.failures < TRIP:
        return True
    if breaker.probing or now < breaker.open_until:
        return False
    breaker.probing = True
    return True


def is_open(breaker: Breaker) -> bool:
    """Say whether so many attempts in a row failed that only probes go out."""
    return breaker.failures >= TRIP


def count(breaker: Breaker, *, ok: bool, now: float, spread: float, cap_seconds: float = LONGEST_OPEN) -> bool:
    """Count an attempt's outcome; return whether the breaker has just opened or closed."""
    was_open = is_open(breaker)
    breaker.probing = False
    if ok:
        breaker.failures = 0
        return was_open
    breaker.failures += 1
    if breaker.failures >= TRIP:
        seconds = min(cap_seconds, LONGEST_OPEN, 2.0 ** min(breaker.failures - TRIP, 5))
        breaker.open_until = now + seconds * (0.5 + spread / 2)
    return not was_open and is_open(breaker)
