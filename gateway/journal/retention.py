"""Delete what is over, a little at a time, and give the space back.

Each slice is a chore among the writer's other works: about 5 ms, then a pause, so that no
commit waits for long. Nothing unfinished or held is ever deleted, nor the newest message
and delivery: their numbers must not be given out again.

What is over is old by the journal's own time and by the wall clock: the one says which messages
had come so long ago, the other when each of them ended. So a wall clock that leaps ahead deletes nothing early, and one
that is put back keeps nothing for ever.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable

import trio
from msgspec import Struct

from gateway.journal.ledger import Chore
from gateway.journal.uptime import Uptime, messages_before
from gateway.notices import DeadLettersShed, Report

DAY = 86_400.0
ROUND_SECONDS = 600.0
SLICE = 100
PAUSE_SECONDS = 0.02
# Pages that are free are used again first; giving them back is for the disk that had a bad week.
FREE_PAGES = 2000
VACUUM_PAGES = 100


class Retention(Struct, frozen=True):
    """How long rows are kept: what ended well, and what lies dead, unrouted or unknown for a person to see.

    Of the latter `most_dead` of each kind: a destination that is gone for good must not fill the disk.
    """

    finished_days: float = 7.0
    dead_days: float = 30.0
    most_dead: int = 100_000


# What ended in a future that a wall clock put back has taken away is as old as its number says.
_OLD = """({0}.changed_at < :now - :{1}_seconds OR {0}.changed_at > :now)"""
_OVER = f"""({{0}}.state IN ({{1}}) AND {_OLD.format("{0}", "finished")}
    OR {{0}}.state IN ({{2}}) AND i.seq <= :dead_seq AND {_OLD.format("{0}", "dead")})"""
_INBOUND_OVER = _OVER.format("i", "'done', 'rejected', 'dropped'", "'dead', 'unrouted'")
_DELIVERY_OVER = _OVER.format("d", "'delivered', 'dropped'", "'dead', 'unknown'")
_SLICE = f"""SELECT i.seq, {_INBOUND_OVER} AND NOT EXISTS (SELECT 1 FROM delivery d
        WHERE d.inbound = i.seq AND (NOT {_DELIVERY_OVER} OR d.seq = (SELECT max(seq) FROM delivery)))
    FROM inbound i WHERE i.seq > :after AND i.seq <= :finished_seq AND i.seq < (SELECT max(seq) FROM inbound)
    ORDER BY i.seq LIMIT {SLICE}"""
_FOR_A_PERSON = (("inbound", "dead"), ("inbound", "unrouted"), ("delivery", "dead"), ("delivery", "unknown"))
# The condition on the open states lets the partial index answer; the new state is an end that both tables know.
_SHED = """UPDATE {0} SET state = 'dropped', changed_at = :now WHERE seq IN
    (SELECT seq FROM {0} WHERE state = '{1}' AND state <> 'done' AND state <> 'delivered' ORDER BY seq LIMIT :count)"""
_DIGESTS = f"SELECT digest, until FROM dedupe WHERE digest > ? ORDER BY digest LIMIT {SLICE * 10}"


class Pruner:
    """One round of deleting; `now` is the wall clock's, `uptime` the journal's own."""

    def __init__(self, retention: Retention, now: float, uptime: float) -> None:
        self._uptime = uptime
        self._finished_seconds, self._dead_seconds = retention.finished_days * DAY, retention.dead_days * DAY
        self._values = {"now": now, "finished_seconds": self._finished_seconds, "dead_seconds": self._dead_seconds}
        self._most_dead, self.shed = retention.most_dead, 0
        self._after_seq = 0
        self._after_digest = b""
        self._more = True

    async def round(self, perform: Callable[[Chore], Awaitable[None]]) -> None:
        """Delete all that is over, slice by slice; `perform` returns after the commit."""
        for step in (self._surplus, self._rows, self._claims, self._marks, self._space):
            self._more = True
            while self._more:
                await perform(Chore(step))
                await trio.sleep(PAUSE_SECONDS)

    def _surplus(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        self._more = False
        for table, state in _FOR_A_PERSON:
            name = f"{table}.{state}"
            (rows,) = cursor.execute("SELECT rows FROM tally WHERE name = ?", (name,)).fetchone()
            count = min(rows - self._most_dead, SLICE)
            if count > 0:
                gone = cursor.execute(_SHED.format(table, state), {**self._values, "count": count}).rowcount
                tally[name] = tally.get(name, 0) - gone
                tally[f"{table}.dropped"] = tally.get(f"{table}.dropped", 0) + gone
                self.shed, self._more = self.shed + gone, self._more or gone == SLICE

    def _rows(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        numbers = {
            "after": self._after_seq,
            "finished_seq": messages_before(cursor, self._uptime - self._finished_seconds),
            "dead_seq": messages_before(cursor, self._uptime - self._dead_seconds),
        }
        rows = cursor.execute(_SLICE, self._values | numbers).fetchall()
        for seq, over in rows:
            if over:
                _forget(cursor, tally, "delivery", "inbound", seq)
                _forget(cursor, tally, "inbound", "seq", seq)
        self._more = bool(rows)
        self._after_seq = rows[-1][0] if rows else 0

    def _claims(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        rows = cursor.execute(_DIGESTS, (self._after_digest,)).fetchall()
        over = [(digest,) for digest, until in rows if until <= self._uptime]
        cursor.executemany("DELETE FROM dedupe WHERE digest = ?", over)
        self._more = bool(rows)
        self._after_digest = rows[-1][0] if rows else b""

    def _marks(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        """Of the marks before the longest memory, the last one is enough."""
        oldest = self._uptime - max(self._finished_seconds, self._dead_seconds)
        cursor.execute("DELETE FROM mark WHERE uptime < (SELECT max(uptime) FROM mark WHERE uptime <= ?)", (oldest,))
        self._more = False

    def _space(self, cursor: sqlite3.Cursor, tally: dict[str, int]) -> None:
        free = cursor.execute("PRAGMA freelist_count").fetchone()[0]
        self._more = free > FREE_PAGES
        if self._more:
            cursor.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()


def _forget(cursor: sqlite3.Cursor, tally: dict[str, int], table: str, column: str, seq: int) -> None:
    for (state,) in cursor.execute(f"DELETE FROM {table} WHERE {column} = ? RETURNING state", (seq,)).fetchall():
        tally[f"{table}.{state}"] = tally.get(f"{table}.{state}", 0) - 1


async def prune(
    perform: Callable[[Chore], Awaitable[None]],
    retention: Retention,
    uptime: Uptime,
    report: Report,
    now: Callable[[], float] = time.time,
) -> None:
    """Note what time it is, now and every ten minutes for ever, and delete what is over by then."""
    while True:
        await perform(Chore(uptime.mark))
        await trio.sleep(ROUND_SECONDS)
        pruner = Pruner(retention, now(), uptime.now())
        await pruner.round(perform)
        if pruner.shed:
            report(DeadLettersShed(pruner.shed))
