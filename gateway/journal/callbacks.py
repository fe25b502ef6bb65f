"""Run what waits for a commit, in the loop, in commit order.

`land` may be called from Trio's entry queue, where an exception would end the run; so it
only stores the group and wakes `pump`, the one task that walks the callbacks.
"""

from __future__ import annotations

from collections import deque

import trio

from gateway.journal.clerk import Settled
from gateway.notices import JournalCallbackFailed, JournalFailed, JournalRecovered, Report, TransitionRefused
from gateway.records import Impossible

# A callback may walk a whole message (some 100 µs): let other tasks in every 3 ms or so.
_AT_ONCE = 32


class Callbacks:
    """The loop's side of the commits. A callback that raises is reported; the ones behind it still run."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._landed: deque[tuple[list[Settled], str]] = deque()
        self._news = trio.Event()
        self._failing_since: float | None = None
        self._idle = trio.Event()
        self._idle.set()

    def land(self, settled: list[Settled], failing: str) -> None:
        """Take one commit's outcomes. Loop only; never raises."""
        if self._idle.is_set():
            self._idle = trio.Event()
        self._landed.append((settled, failing))
        self._news.set()

    async def pump(self) -> None:
        """Run the callbacks as they land, for ever."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            while self._landed:
                settled, failing = self._landed.popleft()
                self._tell(failing)
                await self._walk(settled)
            self._idle.set()

    async def idle(self) -> None:
        """Return when every callback that landed has run."""
        await self._idle.wait()

    async def _walk(self, settled: list[Settled]) -> None:
        for number, (done, outcome) in enumerate(settled, 1):
            if type(outcome) is Impossible:
                self._report(TransitionRefused(outcome.why))
            if done is not None:
                try:
                    done(outcome)
                except Exception as error:
                    self._report(JournalCallbackFailed(f"{type(error).__name__}: {error}"))
            if number % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _tell(self, failing: str) -> None:
        if failing and self._failing_since is None:
            self._failing_since = trio.current_time()
            self._report(JournalFailed(failing))
        elif not failing and self._failing_since is not None:
            seconds = trio.current_time() - self._failing_since
            self._failing_since = None
            self._report(JournalRecovered(inbound=0, deliveries=0, seconds=seconds))
