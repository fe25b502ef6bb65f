"""Decide at the door whether a message can still be served in time, on a machine of any speed.

Pure. By Little's law a newcomer waits for as long as what is in hand takes to be done; beyond a bound the
door closes. How fast messages are done is measured all the time: from the moment so many are in
hand until as many are done. A burst after silence meets a rate that says nothing, so being crowded closes
the door only once it has lasted. What piles up while the disk stands still is no overload, and gets as much
time to be done as the disk stood still; refusing it would make senders repeat what is soon done.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct

# Always taken: one group for the journal, and 100 ms even where a message takes 3 ms.
FEW = 32
# Never exceeded but by a machine that does more within the deadline: half a second's work of a slow one.
MOST = 512
# How long it must have been crowded before the door closes: what a burst after silence may take.
PATIENCE_SECONDS = 0.1
# A commit that lasts so much longer than usual waits for a disk that stands still.
STALL_SECONDS = 0.1
# A disk that stands still for longer is in trouble, and who comes then should hear of it.
LONGEST_STALL_SECONDS = 2.0


class Pressure(Struct):
    """What is known of the work in hand: `rate` is how many messages are done a second."""

    rate: float = 0.0
    arrived: int = 0
    crowded_since: float = inf
    resting: bool = True
    _probe_began: float = 0.0
    _probe_size: int = 0
    _probe_ends: int = 0
    _excused_until: float = 0.0

    def rest(self) -> None:
        """Measure nothing while hardly anything is in hand: most of that time is spent waiting for messages."""
        self.resting, self._probe_size, self.crowded_since = True, 0, inf

    def stalled(self, seconds: float, now: float) -> None:
        """Say for how long the disk has stood still, beyond its usual time; a rate measured meanwhile would be its."""
        if STALL_SECONDS < seconds <= LONGEST_STALL_SECONDS:
            self._excused_until, self._probe_size = now + seconds, 0
            if self.crowded_since < now:
                self.crowded_since = now

    def observe(self, in_hand: int, now: float) -> None:
        """Measure afresh whenever all that was in hand at the last time is done."""
        self.resting = False
        if self.arrived - in_hand < self._probe_ends or now <= self._probe_began:
            return
        if self._probe_size:
            fresh = self._probe_size / (now - self._probe_began)
            self.rate = (self.rate + fresh) / 2 if self.rate else fresh
        self._probe_began, self._probe_size, self._probe_ends = now, in_hand, self.arrived

    def is_full(self, in_hand: int, wait_seconds: float, now: float) -> bool:
        """Tell whether a newcomer would wait for longer than it may."""
        excused = max(0.0, self._excused_until - now)
        room = max(FEW, self.rate * (wait_seconds + excused))
        if in_hand < room:
            if in_hand < room / 2:
                self.crowded_since = inf
            return False
        if self.crowded_since == inf:
            self.crowded_since = now
        return in_hand >= max(MOST, room) or now - self.crowded_since >= PATIENCE_SECONDS + excused

    def retry_after(self, in_hand: int) -> float:
        """Return in how many seconds (1 to 30) the work in hand should be done."""
        return min(30.0, max(1.0, in_hand / self.rate if self.rate else 1.0))
