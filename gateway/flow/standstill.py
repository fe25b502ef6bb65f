"""While the disk refuses, send only as much as can be remembered.

What came of an attempt is then in memory alone: it must be kept until the disk takes it, and a kill repeats the
attempt. So when a transaction's worth of works waits, destinations wait here until the disk takes them.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from gateway.flow.destination import Destination
from gateway.flow.timers import Timers
from gateway.ports import Journal

# One transaction, some 20 ms of the loop once the disk takes it: enough that a hiccup of the disk delays no reply.
MOST_KEPT = 512
_LOOK_AGAIN_SECONDS = 0.25


def refuses(journal: Journal) -> bool:
    """Say whether the disk refuses, and as much waits for it as may."""
    return bool(journal.failing) and journal.backlog >= MOST_KEPT


class Standstill:
    """Holds destinations for as long as `refused` says so; `go` makes one ready again."""

    def __init__(self, refused: Callable[[], bool], timers: Timers, go: Callable[[Destination], None]) -> None:
        self.refused, self._timers, self._go = refused, timers, go
        self._waiting: list[Destination] = []

    def holds(self, destination: Destination) -> bool:
        """Say whether nothing may be sent now; then the destination waits here."""
        if not self.refused():
            return False
        self._waiting.append(destination)
        if len(self._waiting) == 1:
            self._timers.at(trio.current_time() + _LOOK_AGAIN_SECONDS, self._look)
        return True

    def _look(self) -> None:
        if self.refused():
            self._timers.at(trio.current_time() + _LOOK_AGAIN_SECONDS, self._look)
            return
        waiting, self._waiting = self._waiting, []
        for destination in waiting:
            self._go(destination)
