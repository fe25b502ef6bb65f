"""One task that calls functions at their moment: pauses, breakers, what is tried again.

Moments are of Trio's clock, which never jumps: a wall clock that is set back an hour must not
hold every pause for an hour more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import inf

import trio


class Timers:
    """Functions by the moment they are due. They run in the loop and must not raise."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = count()
        self._sooner = trio.Event()

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Call a function at a moment of Trio's clock."""
        heapq.heappush(self._due, (moment, next(self._ticket), call))
        if self._due[0][0] == moment:
            self._sooner.set()

    async def run(self) -> None:
        """Call what is due; runs for ever."""
        while True:
            self._sooner = trio.Event()
            moment = self._due[0][0] if self._due else inf
            with trio.move_on_at(moment):
                await self._sooner.wait()
            now = trio.current_time()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
