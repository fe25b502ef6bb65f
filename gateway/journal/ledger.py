"""Write works into the tables: one transaction for a group, and what became of each.

Plain and synchronous; the threads stand in `writer.py`, what happens when the disk refuses
in `clerk.py`. The transition tables decide what may follow what; anything else changes
nothing, is answered `Impossible` and counted.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct

from gateway.journal import statements as sql
from gateway.journal.patience import Fill, patiently
from gateway.message.lifecycle import DELIVERY, INBOUND, DeliveryState, InboundState
from gateway.records import (
    Accept,
    DeliveryRecord,
    Failed,
    HandOver,
    Impossible,
    InboundRecord,
    Known,
    Moved,
    Outcome,
    Revive,
    Settle,
    Stored,
    Work,
)

_UNDER_WAY = frozenset({DeliveryState.SENDING, DeliveryState.STREAMING})
# A streamed reply may have arrived, or got lost on its way, before its message's walk ends.
_BIRTH = frozenset({DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.UNKNOWN}) | _UNDER_WAY
_MOVED = Moved()
# Python looks up a class's member ten times slower than a name.
_DELAYED, _DEFERRED = InboundState.DELAYED, DeliveryState.DEFERRED
_ENDS, _AFTER_PENDING = INBOUND[InboundState.ACCEPTED], DELIVERY[DeliveryState.PENDING] - _UNDER_WAY
# Looked up rather than made: SQLite's module takes a plain str five times faster than an enum's member.
_TEXT = {state: state.value for states in (InboundState, DeliveryState) for state in states}
_TALLY = {state: f"inbound.{state}" for state in InboundState}
_SENDS = {state: f"delivery.{state}" for state in DeliveryState}


# About 1 MB: more than are under way to destinations that answer.
_MOST_FRESH = 8192


class Chore(Struct, frozen=True):
    """Work of the journal's own (counting attempts, pruning) that takes its turn among the others."""

    run: Callable[[sqlite3.Cursor, dict[str, int]], object]


Entry = Work | Chore
Place = Callable[[Fill], list[Outcome]]


class Ledger:
    """The writing side of one journal file. For one thread at a time; the connection must be in autocommit mode.

    `commit` ends a transaction; tests give one that fails. `place` is where a transaction is filled: every
    statement lets go of the interpreter's lock and must get it back, which beside a busy loop takes longer than
    the statement. So the writer's thread has the loop fill the transaction and only ends it itself.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        commit: Callable[[], object] | None = None,
        *,
        uptime: Callable[[], float],
        place: Place | None = None,
    ) -> None:
        self._db = db
        self._place = place or patiently
        self._uptime = uptime
        self._end = commit or db.commit
        self._cursor = db.cursor()
        self._run = self._cursor.execute
        self._inbound_seq = self._last("inbound")
        self._delivery_seq = self._last("delivery")
        self._tally = defaultdict[str, int](int)
        self._fresh: dict[str, int] = {}  # where deliveries stand that are likely to be settled soon
        self._ahead: list[Outcome] = []
        self.impossible = 0
        self.sync_seconds = 0.0

    def close(self) -> None:
        """Let go of the connection: SQLite keeps the WAL as long as a statement lives."""
        self._cursor.close()

    @property
    def ahead(self) -> int:
        """How many works stand in the open transaction already: the first ones of the next `commit`."""
        return len(self._ahead)

    def fill(self, works: Sequence[Entry]) -> None:
        """Put works into the transaction that the next `commit` ends, behind those that are in it.

        No chores. Raises what SQLite raises, and then nothing is ahead: the next `commit` stores all its works anew.
        """
        try:
            self._ahead += self._filled(works, self._apply)
        except BaseException:
            self._undo()
            raise

    def commit(self, works: Sequence[Entry]) -> list[Outcome]:
        """Store all works in one transaction. Raises what SQLite raises, and then nothing is stored."""
        return self._transaction(works, self._apply)

    def commit_singly(self, works: Sequence[Entry]) -> list[Outcome]:
        """As `commit`, with a savepoint for each: a work that cannot be stored is undone alone, as `Failed`.

        Costs twice as much; for the rare group that holds a work the tables refuse.
        """
        return self._transaction(works, self._apply_guarded)

    def probe(self) -> None:
        """Write something that changes nothing, to learn whether the disk takes it. Raises what SQLite raises."""
        self._transaction([Chore(lambda cursor, tally: cursor.execute(sql.PROBE))], self._apply)

    def _transaction(self, works: Sequence[Entry], apply: Callable[[Entry], Outcome]) -> list[Outcome]:
        rest = works[len(self._ahead) :]
        try:
            outcomes = self._ahead + self._placed(rest, apply) if rest else self._ahead
            began = time.monotonic()
            self._end()
            self.sync_seconds = time.monotonic() - began
        except BaseException:
            self._undo()
            raise
        self._ahead = []
        self.impossible += sum(type(outcome) is Impossible for outcome in outcomes)
        return outcomes

    def _placed(self, works: Sequence[Entry], apply: Callable[[Entry], Outcome]) -> list[Outcome]:
        # A chore (reading back, pruning) may take long; the loop is for what takes microseconds.
        place = patiently if any(type(work) is Chore for work in works) else self._place
        return place(lambda: self._filled(works, apply))

    def _filled(self, works: Sequence[Entry], apply: Callable[[Entry], Outcome]) -> list[Outcome]:
        self._tally.clear()
        if not self._db.in_transaction:
            self._run("BEGIN IMMEDIATE")
        outcomes = [apply(work) for work in works]
        self._cursor.executemany(sql.COUNT, [(by, name) for name, by in self._tally.items() if by])
        return outcomes

    def _undo(self) -> None:
        self._ahead = []
        if self._db.in_transaction:
            self._run("ROLLBACK")

    def _apply(self, work: Entry) -> Outcome:
        match work:
            case Accept():
                return self._accept(work)
            case Settle():
                return self._settle(work)
            case HandOver():
                return self._hand_over(work)
            case Revive():
                return self._revive_inbound(work) if type(work.to) is InboundState else self._revive_delivery(work)
            case Chore():
                work.run(self._cursor, self._tally)
                return _MOVED

    def _apply_guarded(self, work: Entry) -> Outcome:
        before = self._tally.copy()
        self._run("SAVEPOINT work")
        try:
            outcome = self._apply(work)
        except (sqlite3.Error, ValueError, TypeError, OverflowError, AttributeError) as error:
            if isinstance(error, sqlite3.Error) and not blames_the_work(error):
                raise
            self._run("ROLLBACK TO work")
            self._tally = before
            outcome = _refusal(work, error)
        self._run("RELEASE work")
        return outcome

    # ---- inbound ------------------------------------------------------------------------------

    def _accept(self, work: Accept) -> tuple[Stored | Known, ...]:
        if work.end is None:
            outcomes = tuple([self._store(record) for record in work.records])
        else:
            (record,) = work.records
            outcomes = (self._store_ended(record, work.end),)
        if work.cursor is not None:
            self._run(sql.MOVE_CURSOR, work.cursor)
        return outcomes

    def _store_ended(self, record: InboundRecord, end: HandOver) -> Stored | Known:
        """Store a message in the state in which its walk ended, in one row."""
        if end.id != record.id or not _may_end(end):
            raise ValueError(f"the walk of {record.id} cannot end as {end.id} in {end.state}")
        known = self._claim(record)
        if known is not None:
            return known
        self._inbound_seq = seq = self._inbound_seq + 1
        due_at = end.due_at if end.state is _DELAYED else 0.0
        ended = (
            _TEXT[end.state],
            record.received_at,
            end.at,
            due_at,
            record.lane,
            record.sender,
            record.sealed,
            end.note,
        )
        self._run(sql.STORE_ENDED, (seq, record.id, record.channel, *ended))
        for reply in end.deliveries:
            self._intend(reply, seq)
        self._tally[_TALLY[end.state]] += 1
        return Stored(seq)

    def _claim(self, record: InboundRecord) -> Known | None:
        """Claim the message's dedupe digest; who has it when it is taken."""
        if not record.dedupe:
            return None
        now = self._uptime()
        values = (record.dedupe, now + record.dedupe_seconds, record.id, now)
        if self._run(sql.CLAIM, values).rowcount:
            return None
        return Known(self._run(sql.KNOWN, (record.dedupe,)).fetchone()[0])

    def _store(self, record: InboundRecord) -> Stored | Known:
        known, received_at = self._claim(record), record.received_at
        if known is not None:
            return known
        self._inbound_seq = seq = self._inbound_seq + 1
        self._run(
            sql.STORE,
            (seq, record.id, record.channel, received_at, received_at, record.lane, record.sender, record.sealed),
        )
        self._tally["inbound.accepted"] += 1
        return Stored(seq)

    def _hand_over(self, work: HandOver) -> Moved | Impossible:
        if work.state not in _ENDS:
            return Impossible(f"a walk cannot end as {work.state}")
        if not _may_end(work):
            return Impossible(f"{work.id} hands over a delivery in an end state, or one of another message")
        if not all(record.sealed for record in work.deliveries):
            return Impossible(f"{work.id} hands over a delivery without its contents")
        found = self._run(sql.FIND_INBOUND, (work.id,)).fetchone()
        if found is None or found[1] != "accepted":
            return self._elsewhere(sql.FIND_INBOUND, work.id, work.state)
        due_at = work.due_at if work.state is _DELAYED else 0.0
        self._run(sql.MOVE_INBOUND, (_TEXT[work.state], work.at, due_at, work.note, found[0]))
        for record in work.deliveries:
            self._intend(record, found[0])
        self._shift("inbound.accepted", _TALLY[work.state])
        return _MOVED

    def _revive_inbound(self, work: Revive) -> Moved | Impossible:
        found = self._run(sql.FIND_INBOUND, (work.id,)).fetchone()
        if found is None or work.to not in INBOUND[InboundState(found[1])]:
            return self._elsewhere(sql.FIND_INBOUND, work.id, work.to)
        seq, was = found
        if work.to is InboundState.ACCEPTED:
            self._inbound_seq = new = self._inbound_seq + 1
            self._run(sql.REENTER_INBOUND, (new, work.at, work.note, seq))
            self._run(sql.FOLLOW_INBOUND, (new, seq))
        else:
            self._run(sql.MOVE_INBOUND, (_TEXT[work.to], work.at, 0.0, work.note, seq))
        self._shift(f"inbound.{was}", f"inbound.{work.to}")
        return _MOVED

    # ---- deliveries ---------------------------------------------------------------------------

    def _intend(self, record: DeliveryRecord, inbound: int) -> None:
        self._delivery_seq = seq = self._delivery_seq + 1
        born = record.created_at
        whose = (seq, record.id, inbound, record.channel, record.destination)
        sealed = record.sealed or sql.SHARED
        self._run(sql.INTEND, (*whose, _TEXT[record.state], born, born, record.expires_at, sealed))
        self._tally[_SENDS[record.state]] += 1
        if len(self._fresh) >= _MOST_FRESH:
            self._fresh.clear()
        self._fresh[record.id] = seq

    def _settle(self, work: Settle) -> Moved | Impossible:
        state, note = work.state, framed(work.note) if work.note else b""
        due_at = work.due_at if state is _DEFERRED else 0.0
        if self._settle_pending(work, (_TEXT[state], work.attempt, work.at, due_at, note)):
            return _MOVED
        found = self._run(sql.FIND_DELIVERY, (work.id,)).fetchone()
        if found is None or state not in DELIVERY[DeliveryState(found[1])]:
            return self._elsewhere(sql.FIND_DELIVERY, work.id, state)
        seq, was, attempt = found
        if state not in _UNDER_WAY:
            attempt = work.attempt
        self._run(sql.MOVE_DELIVERY, (_TEXT[state], attempt, work.at, due_at, note, seq))
        if work.sealed:
            self._run(sql.RESEAL_DELIVERY, (work.sealed, seq))
        self._shift(f"delivery.{was}", _SENDS[state])
        return _MOVED

    def _settle_pending(self, work: Settle, values: tuple[object, ...]) -> bool:
        """Try the commonest settling, from pending to an end, in one statement instead of two."""
        if work.state not in _AFTER_PENDING or work.sealed:
            return False
        seq = self._fresh.pop(work.id, 0)
        if not seq:
            settled = self._run(sql.SETTLE_PENDING, (*values, work.id)).rowcount
        else:  # a row's number is found sooner than its name, by a page that has not been touched for long
            settled = self._run(sql.SETTLE_PENDING_AT, (*values, seq, work.id)).rowcount
        if not settled:
            return False
        self._shift("delivery.pending", _SENDS[work.state])
        return True

    def _revive_delivery(self, work: Revive) -> Moved | Impossible:
        found = self._run(sql.FIND_DELIVERY, (work.id,)).fetchone()
        if found is None or work.to not in DELIVERY[DeliveryState(found[1])]:
            return self._elsewhere(sql.FIND_DELIVERY, work.id, work.to)
        seq, was, attempt = found
        note = framed(work.note) if work.note else b""
        self._run(sql.MOVE_DELIVERY, (_TEXT[work.to], attempt, work.at, 0.0, note, seq))
        if work.to is DeliveryState.PENDING:
            self._delivery_seq = new = self._delivery_seq + 1
            self._run(sql.REENTER_DELIVERY, (new, work.expires_at, work.expires_at, seq))
        self._shift(f"delivery.{was}", f"delivery.{work.to}")
        return _MOVED

    # ---- helpers ------------------------------------------------------------------------------

    def _elsewhere(self, find: str, identity: str, to: str) -> Impossible:
        found = self._run(find, (identity,)).fetchone()
        if found is None:
            return Impossible(f"{identity} is not in the journal (or past retention), so it cannot become {to}")
        return Impossible(f"{identity} is {found[1]} and cannot become {to}")

    def _shift(self, was: str, now: str) -> None:
        self._tally[was] -= 1
        self._tally[now] += 1

    def _last(self, table: str) -> int:
        return int(self._run(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchone()[0])


def _may_end(work: HandOver) -> bool:
    """Say whether a walk may end so: a state it can end in, replies of its own, born in a state they may have."""
    for record in work.deliveries:
        if record.state not in _BIRTH or record.envelope_id != work.id:
            return False
    return work.state in _ENDS


def framed(note: bytes) -> bytes:
    """Put a note's length before it, so that notes can be appended to one another."""
    return len(note).to_bytes(4, "big") + note


def unframed(notes: bytes) -> tuple[bytes, ...]:
    """Take appended notes apart."""
    found, at = [], 0
    while at < len(notes):
        end = at + 4 + int.from_bytes(notes[at : at + 4], "big")
        found.append(notes[at + 4 : end])
        at = end
    return tuple(found)


_WORK_FAULTS = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH})


def blames_the_work(error: sqlite3.Error) -> bool:
    """Tell a work that the tables refuse from a disk that does: only the former may be left out of a group."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or (code & 0xFF) in _WORK_FAULTS


def _refusal(work: Entry, error: Exception) -> Outcome:
    """Only at the door is there somebody who can keep a work and come again."""
    if isinstance(work, Accept):
        return Failed(f"cannot be stored: {error}")
    return Impossible(f"the journal's tables refuse it: {error}")
