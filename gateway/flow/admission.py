"""Decide at the door whether a message can still be served in time.

Pure. By Little's law the wait of a newcomer is what is in hand divided by the rate at which it
is finished; beyond `share` of the deadline the door closes. The floor lets a quiet gateway take a
burst although its measured rate is small.
"""

from __future__ import annotations

from msgspec import Struct

# A quarter of a second's work of the slowest machine we run on; below it a burst after silence is never refused.
FLOOR = 512


class Pressure(Struct):
    """How fast messages are finished: an exponentially weighted rate, renewed every 0.1 s of use."""

    rate: float = 0.0
    finished: int = 0
    since: float = 0.0

    def tick(self, now: float) -> None:
        """Fold what was finished since the last tick into the rate, at most once a step."""
        span = now - self.since
        if span < STEP_SECONDS:
            return
        fresh = self.finished / span
        # Up at once, down slowly: a lull must not make the next burst look dangerous.
        self.rate = max(fresh, self.rate * 0.9 + fresh * 0.1)
        self.finished, self.since = 0, now


# How often the rate is measured afresh, at most.
STEP_SECONDS = 0.1


def room(pressure: Pressure, deadline_seconds: float, share: float = 0.5) -> int:
    """Return how many messages may be in hand before a newcomer would wait longer than its share."""
    return max(FLOOR, int(pressure.rate * deadline_seconds * share))


def retry_after(in_hand: int, pressure: Pressure) -> float:
    """Return in how many seconds (1 to 30) the work in hand should be done."""
    return min(30.0, max(1.0, in_hand / pressure.rate if pressure.rate else 1.0))
