"""Keep one kind of line from flooding the log: so many a second, then only how many more there were. Pure.

At overload the door refuses thousands of messages a second; a line for each would take the
time that serving the accepted ones needs. The counters stay exact.
"""

from __future__ import annotations

# A person reads a few lines a second; fifty still show the first moments of a storm one by one.
LINES_PER_SECOND = 50
SUPPRESS = -1


class Throttle:
    """Counts lines by kind in windows of one second."""

    def __init__(self, lines_per_second: int = LINES_PER_SECOND) -> None:
        self._most = lines_per_second
        self._windows: dict[type, tuple[float, int]] = {}

    def admit(self, kind: type, now: float) -> int:
        """Return `SUPPRESS`, or how many lines of this kind were suppressed since its last one."""
        began, count = self._windows.get(kind, (now, 0))
        # A clock that was set back must not silence a kind until it has caught up.
        if not 0 <= now - began < 1:
            self._windows[kind] = (now, 1)
            return max(0, count - self._most)
        self._windows[kind] = (began, count + 1)
        return SUPPRESS if count >= self._most else 0
