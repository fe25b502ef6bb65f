"""Decide which of many ready connections get their turn, in which order, and which have waited too long. Pure.

While few are ready, all are served. Beyond that more comes in than is done, and first in, first out
would serve everybody late: the newest come first instead, and are in time; those that were left
unread for longer than `PATIENCE_SECONDS` are told so, as many as a small share of the time allows. All others
stay unread, and their senders wait: that is the back pressure of a socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from select import EPOLLIN

from msgspec import Struct

# Work of some milliseconds; even at 3 ms a request the last of them is answered within 100 ms.
FEW = 32
# What is read in one turn, while journal, lanes and replies wait for theirs.
SLICE_SECONDS = 0.005
# Half of the 200 ms that a message may take: what is read later than that cannot be in time.
PATIENCE_SECONDS = 0.05
# The share of the time that goes into telling senders that they are late; at least so much in a turn.
LATE_SHARE = 0.05
LATE_SECONDS = 0.0001  # at least, in a turn

Ready = list[tuple[int, int]]


class Turns(Struct, frozen=True):
    """What is ready, in three parts, each in its order: `urgent` takes no new request."""

    urgent: Ready
    fresh: Ready
    late: Ready


class Rota:
    """Knows since when which connection was left unread, and who was read in the last turn that filled its slice."""

    def __init__(self) -> None:
        self._unread: dict[int, float] = {}
        self._read: list[int] = []

    def part(self, ready: Ready, now: float) -> Turns:
        """Part what epoll tells, the oldest first."""
        since, latest = self._unread, now - PATIENCE_SECONDS
        urgent: Ready = []
        fresh: Ready = []
        late: Ready = []
        for each in ready:
            if each[1] != EPOLLIN:
                urgent.append(each)
            elif since.get(each[0], now) < latest:
                late.append(each)
            else:
                fresh.append(each)
        fresh.reverse()
        return Turns(urgent, fresh, late)

    def unread_first(self, ready: Ready) -> None:
        """Order what is ready: those left unread, the longest waiting first; the new; those just read, in order."""
        if self._unread or self._read:
            places = {descriptor: place for place, descriptor in enumerate(self._unread, -len(self._unread))}
            places.update((descriptor, place) for place, descriptor in enumerate(self._read, 1))
            ready.sort(key=lambda each: places.get(each[0], 0))

    def forget(self, descriptor: int) -> None:
        """It is closed; its number may be given to another connection."""
        self._unread.pop(descriptor, None)
        if descriptor in self._read:
            self._read.remove(descriptor)

    def leave(self, unread: Ready, now: float, *, read: Sequence[tuple[int, int]] = ()) -> None:
        """Remember what this turn did not come to, the longest waiting first, and whose reading filled its slice."""
        since = self._unread
        self._unread = {descriptor: since.get(descriptor, now) for descriptor, _ in unread}
        self._read = [descriptor for descriptor, _ in read]
