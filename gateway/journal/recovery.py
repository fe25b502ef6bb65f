"""Read back what a stop left unfinished, and count an attempt for what may have caused a crash.

Who that is the journal is told (`gateway/flow/flight.py`): a lane walks many messages before the end of one is
committed, so it cannot be seen in the rows. After an orderly stop it is nobody. So a message that kills the process
reaches its last attempt, and what was queued before and behind it keeps its count.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

from gateway.journal.ledger import Chore

PAGE = 500  # one page costs the reading thread about 5 ms, and the loop a step of 0.1 ms

_COUNT_WALK = "UPDATE inbound SET attempt = attempt + 1 WHERE id = ? AND state = 'accepted'"
_COUNT_SENDS = """UPDATE delivery SET attempt = attempt + 1 WHERE seq IN
    (SELECT seq FROM delivery WHERE state IN ('sending', 'streaming') AND state <> 'delivered')"""
_INBOUND = "SELECT seq FROM inbound WHERE state IN ('accepted', 'delayed') AND state <> 'done' ORDER BY seq"
_DELIVERIES = """SELECT seq FROM delivery WHERE state IN ('pending', 'sending', 'streaming', 'deferred')
    AND state <> 'delivered' ORDER BY seq"""


class Unfinished:
    """What the counting found, by number: rows stored later are not part of a recovery."""

    def __init__(self, blamed: Collection[str] = ()) -> None:
        self._blamed = blamed
        self.inbound: list[int] = []
        self.deliveries: list[int] = []

    def chore(self) -> Chore:
        """Make the work that counts attempts and lists what is unfinished, in one transaction."""
        return Chore(self._count)

    def _count(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        cursor.executemany(_COUNT_WALK, [(identity,) for identity in self._blamed])
        cursor.execute(_COUNT_SENDS)
        self.inbound = [seq for (seq,) in cursor.execute(_INBOUND)]
        self.deliveries = [seq for (seq,) in cursor.execute(_DELIVERIES)]


def pages(seqs: list[int]) -> Iterator[list[int]]:
    """Cut numbers into pages."""
    for start in range(0, len(seqs), PAGE):
        yield seqs[start : start + PAGE]
