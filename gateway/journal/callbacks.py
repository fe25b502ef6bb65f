"""Run what waits for a commit, in the loop, in commit order.

`land` is called where an exception would end the run (Trio's entry queue, the watch), so it never raises but one:
without memory a message would be left standing in its lane, and only the next start takes it up again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from gateway.errors import in_words, stays_contained
from gateway.journal.clerk import Settled
from gateway.notices import JournalCallbackFailed, JournalFailed, JournalRecovered, Report, TransitionRefused
from gateway.records import Impossible

# A callback may walk a whole message (some 100 µs): let other tasks in every 3 ms or so.
_AT_ONCE = 32


class Callbacks:
    """The loop's side of the commits. A callback that raises is reported; the ones behind it still run.

    `soon` has a function called in the loop after other tasks had their turn.
    """

    def __init__(self, report: Report, soon: Callable[[Callable[[], object]], object]) -> None:
        self._report, self._soon = report, soon
        self._landed: deque[Settled] = deque()
        self._failing_since: float | None = None
        self._going_on = False
        self._idle = trio.Event()

    def land(self, settled: list[Settled], failing: str) -> None:
        """Take one commit's outcomes and run their callbacks, now or behind earlier ones. Raises MemoryError."""
        if failing or self._failing_since is not None:
            self._tell(failing)
        self._landed.extend(settled)
        if not self._going_on:
            self._go_on()

    async def idle(self) -> None:
        """Return when every callback that landed has run."""
        while self._landed:
            self._idle = trio.Event()
            await self._idle.wait()

    def _go_on(self) -> None:
        landed = self._landed
        for _ in range(min(len(landed), _AT_ONCE)):
            done, outcome = landed.popleft()
            if type(outcome) is Impossible:
                self._report(TransitionRefused(outcome.why))
            if done is not None:
                try:
                    done(outcome)
                except MemoryError:
                    landed.clear()
                    self._idle.set()
                    raise
                except trio.Cancelled:
                    raise
                except BaseException as error:
                    if not stays_contained(error):
                        raise
                    self._report(JournalCallbackFailed(in_words(error)))
        self._going_on = bool(landed)
        if landed:
            self._soon(self._go_on)
        else:
            self._idle.set()

    def _tell(self, failing: str) -> None:
        if failing and self._failing_since is None:
            self._failing_since = trio.current_time()
            self._report(JournalFailed(failing))
        elif not failing and self._failing_since is not None:
            seconds = trio.current_time() - self._failing_since
            self._failing_since = None
            self._report(JournalRecovered(inbound=0, deliveries=0, seconds=seconds))
