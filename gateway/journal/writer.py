"""The writer's thread: commits what was submitted as a group, tells the loop, and rests a moment for the next group.

What waits for the disk waits here. The statements run in the loop: those of what a turn of the watch submitted at the
turn's end, so that the thread mostly finds a transaction that it only has to end; others when it asks (`inloop.py`).

`submit` costs the loop a microsecond: it appends to a deque and, when somebody waits, opens the gate the
thread sleeps at. The deque is never swapped, and an item is whole before it is appended: a work
is either still in the deque or in the thread's own batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from gateway.journal.clerk import AGAIN_SECONDS, LARGEST, Clerk, Done, Item, Settled
from gateway.journal.ledger import Chore, Entry

# Commits begin no closer together than this, and what is left of it is rested: cost follows commits, not messages, and
# at 1,000/s this halves the CPU of both threads. What comes after a longer pause is committed at once.
APART_SECONDS = 0.00145
# Rested also after a commit that a slow disk made longer: the loop runs then, undisturbed. On a disk that takes 0.8 ms,
# the median at 1,000/s is 3.4 ms where a rest of the usual length after each commit made it 4.2.
LEAST_SECONDS = 0.0002
# A commit of so few says that the loop has time to spare: what is read during the rest could not be answered sooner, so
# the loop is left asleep for as long. A tenth less CPU at 1,000/s; from some 2,000/s on there are more than these.
FEW = 16
# Works nobody waits for ride along with other commits; alone they wait no longer than this.
RIDE_SECONDS = 1.0
# Beyond this many, gathering gains nothing (the sync is 1 % of the group's cost): commit at once.
LARGE = 64


class Writer:
    """The queue and its thread's loop. `submit` and `stop` belong to the loop, `run` to the thread.

    `behind` calls a function once when a turn of the loop is over, and is False when there is no turn. `hush` is called
    in the thread before a rest in which the loop need not wake up for anything but the thread, `hear` after each rest.
    """

    def __init__(
        self,
        clerk: Clerk,
        announce: Callable[[list[Settled], str], None],
        behind: Callable[[Callable[[], object]], bool],
        hush: Callable[[], None],
        hear: Callable[[], None],
    ) -> None:
        self._clerk = clerk
        self._announce = announce
        self._behind, self._hush, self._hear = behind, hush, hear
        self._hands = threading.Lock()  # whose hands are on the transaction: the loop's only tries
        self._spoilt = False
        self._inbox: deque[Item] = deque()
        self._gate = threading.Lock()
        self._gate.acquire()
        self._wanted = self._open = self._filling = False
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

    def submit(self, work: Entry, done: Done = None) -> None:
        """Queue one work. Never waits."""
        self._inbox.append((work, done))
        self._submitted += 1
        if not self._filling and (self._wanted or done is not None or len(self._inbox) >= LARGE):
            self._wanted = True
            self._filling = self._behind(self._turn_ended)
            if not (self._filling or self._open):
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
            began = time.monotonic()
            try:
                if self._commit() and not stopping:
                    time.sleep(max(LEAST_SECONDS, APART_SECONDS - (time.monotonic() - began)))
            finally:
                self._hear()

    def _sleep(self) -> None:
        if self._gate.acquire(timeout=AGAIN_SECONDS if self._clerk.failing else RIDE_SECONDS):
            # Before the inbox is counted: whoever appends later finds nothing wanted and the gate closed.
            self._open = False
            self._wanted = False

    def _turn_ended(self) -> None:
        """Fill the transaction with what was submitted, unless the thread is ending it, and let the thread come."""
        self._filling = False
        if self._hands.acquire(blocking=False):
            try:
                self._fill()
            finally:
                self._hands.release()
        if not self._open:
            self._open_gate()

    def _fill(self) -> None:
        works = [work for work, _ in islice(self._inbox, self._clerk.ahead, LARGEST)]
        if works and not self._spoilt and Chore not in map(type, works):
            try:
                self._clerk.fill(works)
            except Exception:
                self._spoilt = True  # the thread comes upon the same, and knows what to do about it

    def _commit(self) -> bool:
        """Commit what has come so far, and what a refusing disk has kept waiting; tell whether there was anything."""
        inbox, waiting, any_came = self._inbox, len(self._inbox), False
        while waiting > 0 or self._clerk.due:
            with self._hands:
                # What came since and stands in the transaction already is part of it.
                batch = [inbox.popleft() for _ in range(min(max(waiting, self._clerk.ahead), LARGEST))]
                self._at_it_since = time.monotonic()
                settled = self._clerk.commit(batch)
                self._at_it_since = 0.0
                self._spoilt = False
            waiting, any_came = waiting - len(batch), True
            self._committed += len(settled)
            # Of a refusing disk little is settled, and what waits may be asked of it at once: that can take long.
            if len(settled) <= FEW and not self._clerk.failing:
                self._hush()
            self._announce(settled, self._clerk.failing)
        return any_came

    def _open_gate(self) -> None:
        self._open = True
        self._gate.release()
