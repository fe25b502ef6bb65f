"""The writer's thread: gathers what was submitted, commits it as a group, tells the loop.

What waits for the disk waits here; the statements themselves are run in the loop (`inloop.py`).

`submit` costs the loop a microsecond: it appends to a deque and, when somebody waits, opens
the gate the thread sleeps at. The deque is never swapped, and an item is whole before it is
appended: a work is either still in the deque or in the thread's own batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from gateway.journal.clerk import AGAIN_SECONDS, Clerk, Done, Item, Settled
from gateway.journal.ledger import Entry

# Cost follows commits, not messages: at 1,000/s this halves the CPU of both threads. Twice as long would save 4 % more
# and cost half a millisecond.
GATHER_SECONDS = 0.0015
# Works nobody waits for ride along with other commits; alone they wait no longer than this.
RIDE_SECONDS = 1.0
# Beyond this many, gathering gains nothing (the sync is 1 % of the group's cost): commit at once.
LARGE = 64
# Bounds one transaction, and so the time until the first of a flood is acknowledged, to some 20 ms.
LARGEST = 512


class Writer:
    """The queue and its thread's loop. `submit` and `stop` belong to the loop, `run` to the thread."""

    def __init__(self, clerk: Clerk, announce: Callable[[list[Settled], str], None]) -> None:
        self._clerk = clerk
        self._announce = announce
        self._inbox: deque[Item] = deque()
        self._gate = threading.Lock()
        self._gate.acquire()
        self._open = False
        self._stopping = False
        self._submitted = 0
        self._committed = 0
        self._at_it_since = 0.0

    @property
    def backlog(self) -> int:
        """Works submitted and not yet settled."""
        return self._submitted - self._committed

    @property
    def stuck_seconds(self) -> float:
        """How long the thread has been at one commit; a second is a bad disk, half a minute a dead one."""
        since = self._at_it_since
        return time.monotonic() - since if since else 0.0

    @property
    def settled(self) -> int:
        """Works settled since the start; grows with every commit."""
        return self._committed

    @property
    def failing(self) -> str:
        """Why the disk refuses, or ''."""
        return self._clerk.failing

    def submit(self, work: Entry, done: Done = None) -> None:
        """Queue one work. Never waits."""
        self._inbox.append((work, done))
        self._submitted += 1
        if not self._open and (done is not None or len(self._inbox) >= LARGE):
            self._open_gate()

    def stop(self) -> None:
        """Let the thread end once everything submitted is settled, or the disk refuses it."""
        self._stopping = True
        if not self._open:
            self._open_gate()

    def run(self) -> None:
        """Write until stopped. Whatever it raises must end the daemon: without it nothing is ever acknowledged."""
        stopping = False
        while not stopping:
            self._sleep()
            stopping = self._stopping
            self._gather()
            self._commit(len(self._inbox))

    def _sleep(self) -> None:
        if self._gate.acquire(timeout=AGAIN_SECONDS if self._clerk.failing else RIDE_SECONDS):
            # Before the inbox is counted: whoever appends later finds the gate closed and opens it.
            self._open = False

    def _gather(self) -> None:
        if 0 < len(self._inbox) < LARGE and not self._stopping:
            time.sleep(GATHER_SECONDS)

    def _commit(self, waiting: int) -> None:
        inbox = self._inbox
        while waiting or self._clerk.due:
            batch = [inbox.popleft() for _ in range(min(waiting, LARGEST))]
            waiting -= len(batch)
            self._at_it_since = time.monotonic()
            settled = self._clerk.commit(batch)
            self._at_it_since = 0.0
            self._committed += len(settled)
            self._announce(settled, self._clerk.failing)

    def _open_gate(self) -> None:
        self._open = True
        self._gate.release()
