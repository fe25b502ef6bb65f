"""Delete what is over, a little at a time, and give the space back.

Each slice is a chore among the writer's other works: about 5 ms, then a pause, so that no
commit waits for long. Nothing unfinished or held is ever deleted, nor the newest message
and delivery: their numbers must not be given out again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from gateway.journal.ledger import Chore

DAY = 86_400.0
ROUND_SECONDS = 600.0
SLICE = 100
PAUSE_SECONDS = 0.02
# Pages that are free are used again first; giving them back is for the disk that had a bad week.
FREE_PAGES = 2000
VACUUM_PAGES = 100


class Retention(Struct, frozen=True):
    """How long rows are kept: what ended well, and what lies dead, unrouted or unknown for a person to see."""

    finished_days: float = 7.0
    dead_days: float = 30.0


_OVER = """({0}.state IN ({1}) AND {0}.changed_at < :finished OR {0}.state IN ({2}) AND {0}.changed_at < :dead)"""
_INBOUND_OVER = _OVER.format("i", "'done', 'rejected', 'dropped'", "'dead', 'unrouted'")
_DELIVERY_OVER = _OVER.format("d", "'delivered', 'dropped'", "'dead', 'unknown'")
_SLICE = f"""SELECT i.seq, i.received_at, {_INBOUND_OVER} AND NOT EXISTS (SELECT 1 FROM delivery d
        WHERE d.inbound = i.seq AND (NOT {_DELIVERY_OVER} OR d.seq = (SELECT max(seq) FROM delivery)))
    FROM inbound i WHERE i.seq > :after AND i.seq < (SELECT max(seq) FROM inbound) ORDER BY i.seq LIMIT {SLICE}"""
_DIGESTS = f"SELECT digest, until FROM dedupe WHERE digest > ? ORDER BY digest LIMIT {SLICE * 10}"


class Pruner:
    """One round of deleting; `now` is epoch seconds."""

    def __init__(self, retention: Retention, now: float) -> None:
        self._now = now
        self._finished = now - retention.finished_days * DAY
        self._dead = now - retention.dead_days * DAY
        self._after_seq = 0
        self._after_digest = b""
        self._more = True

    async def round(self, perform: Callable[[Chore], Awaitable[None]]) -> None:
        """Delete all that is over, slice by slice; `perform` returns after the commit."""
        for step in (self._rows, self._claims, self._space):
            self._more = True
            while self._more:
                await perform(Chore(step))
                await trio.sleep(PAUSE_SECONDS)

    def _rows(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        values = {"finished": self._finished, "dead": self._dead, "after": self._after_seq}
        rows = cursor.execute(_SLICE, values).fetchall()
        for seq, _, over in rows:
            if over:
                _forget(cursor, tally, "delivery", "inbound", seq)
                _forget(cursor, tally, "inbound", "seq", seq)
        # Rows stand in order of arrival: a slice that arrived after the cut ends the round.
        self._more = any(received_at < self._finished for _, received_at, _ in rows)
        self._after_seq = rows[-1][0] if rows else 0

    def _claims(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        rows = cursor.execute(_DIGESTS, (self._after_digest,)).fetchall()
        over = [(digest,) for digest, until in rows if until <= self._now]
        cursor.executemany("DELETE FROM dedupe WHERE digest = ?", over)
        self._more = bool(rows)
        self._after_digest = rows[-1][0] if rows else b""

    def _space(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        free = cursor.execute("PRAGMA freelist_count").fetchone()[0]
        self._more = free > FREE_PAGES
        if self._more:
            cursor.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()


def _forget(cursor: sqlite3.Cursor, tally: dict[str, int], table: str, column: str, seq: int) -> None:
    for (state,) in cursor.execute(f"DELETE FROM {table} WHERE {column} = ? RETURNING state", (seq,)).fetchall():
        tally[f"{table}.{state}"] = tally.get(f"{table}.{state}", 0) - 1


async def prune(perform: Callable[[Chore], Awaitable[None]], retention: Retention, now: Callable[[], float]) -> None:
    """Prune for ever, every ten minutes."""
    while True:
        await trio.sleep(ROUND_SECONDS)
        await Pruner(retention, now()).round(perform)
