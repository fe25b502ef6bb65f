"""Keep the latest errors in memory, for `oclaw status`."""

from __future__ import annotations

from collections import deque

from gateway.telemetry.tail import Seen

# A screenful; the log has the rest.
KEPT = 20


class LatestErrors:
    """The last twenty notices of level "error", newest first when read."""

    def __init__(self) -> None:
        self._kept: deque[Seen] = deque(maxlen=KEPT)

    def put(self, seen: Seen) -> None:
        """Remember one, and forget the oldest."""
        self._kept.append(seen)

    def read(self) -> tuple[Seen, ...]:
        """Return them, newest first."""
        return tuple(reversed(self._kept))
