"""Decide whether a crashed child is started again, and after which pause.

Pure: takes the moments of past crashes, returns a pause or gives up. The task that sleeps
and restarts lives in `child.py`. Moments are seconds of any clock that never goes back.
"""

from __future__ import annotations

from msgspec import Struct


class Policy(Struct, frozen=True, kw_only=True):
    """How patient the supervisor is with one child.

    With the defaults a child that crashes at once every time is started after at most 0.5, 1, 2, 4 … 60
    seconds and given up at its tenth crash, one and a half to three minutes after the first. A `permanent`
    child must not return: a channel that silently ended would be missed by nobody, so returning
    counts as a crash.
    """

    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 60.0
    crashes: int = 10
    within_seconds: float = 900.0
    healthy_seconds: float = 120.0
    permanent: bool = True


class Pause(Struct, frozen=True):
    """Start the child again after so many seconds."""

    seconds: float


class GiveUp(Struct, frozen=True):
    """Leave the child down until a person restarts it."""

    why: str


Answer = Pause | GiveUp


def remember(
    crashes: tuple[float, ...], policy: Policy, *, now: float, healthy_since: float | None
) -> tuple[float, ...]:
    """Return the crash moments that still count, with the one at `now` as the last.

    A run that was up for `healthy_seconds` wipes the slate; crashes older than `within_seconds` fade.
    """
    if healthy_since is not None and now - healthy_since >= policy.healthy_seconds:
        return (now,)
    return (*(moment for moment in crashes if now - moment < policy.within_seconds), now)


def decide(crashes: tuple[float, ...], policy: Policy, *, spread: float) -> Answer:
    """Answer the last of `crashes`; `spread` from 0 to 1 scatters the pause between half of it and all of it."""
    if len(crashes) >= policy.crashes:
        return GiveUp(f"it crashed {len(crashes)} times within {crashes[-1] - crashes[0]:.0f} s")
    # 2.0**1024 overflows; no pause grows for more than 60 doublings anyway.
    doubled = policy.first_pause_seconds * 2.0 ** min(len(crashes) - 1, 60)
    return Pause(min(policy.longest_pause_seconds, doubled) * (0.5 + spread / 2))
