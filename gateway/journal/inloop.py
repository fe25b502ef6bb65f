"""Let the loop's thread do a piece of the writer's work, and hand the result or the error back.

Beside a busy loop the writer's thread waits up to 5 ms for the interpreter's lock after every SQL
statement, although the statement itself takes 10 µs of memory work. In the loop's own thread nobody
competes. What waits for the disk, the COMMIT, stays in the writer's thread.
"""

from __future__ import annotations

import threading
from functools import partial

from gateway.journal.patience import Fill, patiently
from gateway.records import Outcome
from protocols.transport.bell import Bell, BellGone


class InLoop:
    """Runs fills in the loop of the thread the bell was hung in; called from the writer's thread."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._done = threading.Lock()  # held until a fill is done; a Semaphore is twelve calls of Python
        self._done.acquire()
        self._outcomes: list[Outcome] = []
        self._error: Exception | None = None

    def __call__(self, fill: Fill) -> list[Outcome]:
        """Return what `fill` returns in the loop, or raise what it raises. Waits out another process's write."""
        return patiently(lambda: self._once(fill))

    def _once(self, fill: Fill) -> list[Outcome]:
        try:
            self._bell.ring(partial(self._run, fill))
        except BellGone:
            return fill()  # the loop is over: the last works are the thread's own
        self._done.acquire()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._outcomes

    def _run(self, fill: Fill) -> None:
        try:
            self._outcomes = fill()
        except Exception as error:  # whoever answers the bell must not see it
            self._error = error
        finally:
            self._done.release()
