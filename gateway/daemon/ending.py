"""End in bounded time although a channel does not: what is unfinished lies in the journal anyway.

A task that was cancelled and shields itself cannot be ended from outside, only the process can.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio

from gateway.notices import ChildLate, Report
from gateway.supervise import Supervisor

# After the drain, beside which every channel could finish what it had in hand.
LONGEST_SECONDS = 3.0
# The log's own thread writes what was reported last.
_LOG_SECONDS = 0.5


class Ending:
    """The time that channels have to end, from `begins` on."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.over = threading.Event()

    def begins(self, tree: Supervisor) -> None:
        """Count from now; then end the process with exit code 0, and say whom it did not wait for."""
        token = trio.lowlevel.current_trio_token()
        threading.Thread(target=self._watch, args=(tree, token), name="oclaw-ending", daemon=True).start()

    def _watch(self, tree: Supervisor, token: trio.lowlevel.TrioToken) -> None:
        if self.over.wait(LONGEST_SECONDS):
            return
        for child in tree.children():
            if child.state not in ("stopped", "failed"):
                _tell(token, partial(self._report, ChildLate(child.name, "stop", LONGEST_SECONDS)))
        time.sleep(_LOG_SECONDS)
        if not self.over.is_set():
            os._exit(0)


@contextmanager
def ending_in_time(report: Report) -> Iterator[Ending]:
    """Open it around what may not end; leaving the block ends the watch."""
    ending = Ending(report)
    try:
        yield ending
    finally:
        ending.over.set()


def _tell(token: trio.lowlevel.TrioToken, say: Callable[[], None]) -> None:
    try:
        token.run_sync_soon(say)
    except trio.RunFinishedError:
        pass
