"""Count what a peer may do only so often: a leaky bucket over given moments. Pure."""

from __future__ import annotations


class Budget:
    """`burst` at once, refilled at `per_second`; the caller says what time it is."""

    __slots__ = ("_burst", "_left", "_per_second", "_since")

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = float(burst)
        self._left = float(burst)
        self._per_second = per_second
        self._since = 0.0

    def spend(self, now: float) -> bool:
        """Take one; False when nothing was left to take."""
        self._left = min(self._burst, self._left + max(0.0, now - self._since) * self._per_second)
        self._since = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def earn(self) -> None:
        """Give one back, never above the burst."""
        if self._left < self._burst:
            self._left += 1.0
