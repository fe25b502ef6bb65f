"""A pipeline's mailbox: so many messages are worked on at once, the others wait by priority, then in order."""

from __future__ import annotations

import heapq
from itertools import count

import trio


class Slots:
    """`enter` and `leave` around the work. The mailbox is bounded by what the door lets in."""

    def __init__(self, at_once: int) -> None:
        self.free = at_once
        self._waiting: list[tuple[int, int, trio.lowlevel.Task]] = []
        self._ticket = count()

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting)

    async def enter(self, priority: int) -> None:
        """Take a slot, waiting for one behind higher and earlier ones. Cancelled while waiting: none is taken."""
        if self.free > 0 and not self._waiting:
            self.free -= 1
            return
        entry = (-priority, next(self._ticket), trio.lowlevel.current_task())
        heapq.heappush(self._waiting, entry)

        def left(_raise: object) -> trio.lowlevel.Abort:
            self._waiting.remove(entry)
            heapq.heapify(self._waiting)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(left)

    def leave(self) -> None:
        """Give the slot to the next in line, or back."""
        if self._waiting:
            trio.lowlevel.reschedule(heapq.heappop(self._waiting)[2])
        else:
            self.free += 1
