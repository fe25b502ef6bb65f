"""Decide which of many ready connections get their turn, in which order, and which have waited too long. Pure.

While few are ready, all are served. Beyond that more comes in than is done, and first in, first out
would serve everybody late: the newest come first instead, and are in time; those that were left
unread for longer than `PATIENCE_SECONDS` are told so, as many as a small share of the time allows. All others
stay unread, and their senders wait: that is the back pressure of a socket.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

# Work of some milliseconds; even at 3 ms a request the last of them is answered within 100 ms.
FEW = 32
# What is read in one turn, while journal, lanes and replies wait for theirs.
SLICE_SECONDS = 0.005
# A quarter of the 200 ms that a message may take: what is read later than that is not in time behind what is in hand.
PATIENCE_SECONDS = 0.05
# Behind few there is no more in hand than themselves.
PATIENCE_OF_FEW = 0.1
# The share of the time that goes into telling senders that they are late.
LATE_SHARE = 0.03


class Company:
    """How many requests are read before the work that they bring is done: what is done together costs less.

    At most as many as take a slice; where each takes milliseconds, they go alone.
    """

    def __init__(self) -> None:
        self.size = FEW

    def took(self, count: int, seconds: float) -> None:
        """Learn how long it took to read so many and to do their work."""
        if seconds > SLICE_SECONDS:
            self.size = max(1, int(count * SLICE_SECONDS / seconds))
        elif count >= self.size:
            self.size = min(FEW, 2 * self.size)


class Rota:
    """Knows who was left unread, and since when; true while there is anybody."""

    def __init__(self) -> None:
        self._since: OrderedDict[int, float] = OrderedDict()  # in the order in which they were left
        self._credit, self._counted = SLICE_SECONDS, 0.0

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, descriptor: object) -> bool:
        return descriptor in self._since

    def leave(self, descriptors: Iterable[int], now: float, *, last: Sequence[int] = ()) -> None:
        """Remember those who are unread by now, the longest waiting first; `last` are those who were just read."""
        if last:
            places = {descriptor: place for place, descriptor in enumerate(last, 1)}
            descriptors = sorted(descriptors, key=lambda descriptor: places.get(descriptor, 0))
        for descriptor in descriptors:
            self._since.setdefault(descriptor, now)

    def forget(self, descriptor: int) -> None:
        """It is read now, or closed."""
        self._since.pop(descriptor, None)

    def in_time(self, now: float) -> Iterator[int]:
        """Go through those who are not late, the newest first; few the oldest first.

        Each must be forgotten before the next is asked for.
        """
        since, latest = self._since, self._latest(now)
        if len(since) <= FEW:
            yield from [descriptor for descriptor, at in since.items() if at >= latest]
            return
        while since and since[newest := next(reversed(since))] >= latest:
            yield newest

    def late(self, now: float) -> Iterator[int]:
        """Go through those who are late, the oldest first. Each must be forgotten before the next is asked for."""
        since, latest = self._since, self._latest(now)
        while since and since[oldest := next(iter(since))] < latest:
            yield oldest

    def _latest(self, now: float) -> float:
        return now - (PATIENCE_SECONDS if len(self._since) > FEW else PATIENCE_OF_FEW)

    def allowance(self, now: float) -> float:
        """Return for how long the late may be told so now; nothing, or less, after more was spent than they are due."""
        earned = (now - self._counted) * LATE_SHARE
        self._credit, self._counted = min(SLICE_SECONDS, self._credit + earned), now
        return self._credit

    def spend(self, seconds: float) -> None:
        """Take from the allowance what telling them took; a machine that stood still meanwhile costs them one slice."""
        self._credit = max(-SLICE_SECONDS, self._credit - seconds)
