"""The time that what is known is counted in: it goes on while the gateway runs, whatever the wall clock says.

A wall clock leaps: a board without a battery wakes up in 1970, an operator sets a year too much. Counted by it, what
must be known for a day would be forgotten at once, or kept for years. So the journal has a time of its own, which
begins at the wall clock's, follows a clock that never leaps, and counts little of the pauses between two lives: as
nothing arrives in them, nobody is harmed by a longer memory, while a leap cannot be told from a pause.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

Clock = Callable[[], float]
# Of a pause between two lives at most so much counts: a start after a leap costs an hour of what is remembered.
PAUSE_SECONDS = 3600.0


class Uptime:
    """The journal's own time, in seconds. `wall` is only ever noted; `steady` is what goes on."""

    def __init__(self, began: float, *, wall: Clock = time.time, steady: Clock = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._offset = began - steady()

    def now(self) -> float:
        """Return the time."""
        return self._steady() + self._offset

    def mark(self, cursor: sqlite3.Cursor, _tally: dict[str, int]) -> None:
        """Note beside each other what time it is, what the wall clock says, and how far the messages have come."""
        newest = "SELECT coalesce(max(seq), 0) FROM inbound"
        cursor.execute(
            f"INSERT OR REPLACE INTO mark (uptime, wall, seq) VALUES (?, ?, ({newest}))", (self.now(), self._wall())
        )


def taken_up(db: sqlite3.Connection, *, wall: Clock = time.time, steady: Clock = time.monotonic) -> Uptime:
    """Go on where the last life left its last mark."""
    marked = db.execute("SELECT uptime, wall FROM mark ORDER BY uptime DESC LIMIT 1").fetchone()
    began = wall() if marked is None else marked[0] + min(max(wall() - marked[1], 0.0), PAUSE_SECONDS)
    return Uptime(began, wall=wall, steady=steady)


def messages_before(db: sqlite3.Cursor, uptime: float) -> int:
    """Return the number of the newest message that had come by that time; 0 when the journal is younger."""
    return int(db.execute("SELECT coalesce(max(seq), 0) FROM mark WHERE uptime <= ?", (uptime,)).fetchone()[0])


def wall_before(db: sqlite3.Connection, uptime: float) -> float:
    """Return the earliest that the wall clock has said since that time; 0 when the journal is younger."""
    since = "(SELECT max(uptime) FROM mark WHERE uptime <= ?)"
    query = f"SELECT coalesce(min(wall), 0) FROM mark WHERE uptime >= {since}"
    return float(db.execute(query, (uptime,)).fetchone()[0])
