"""Read rows back as values: plain functions of a connection, one snapshot each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.errors import JournalError
from gateway.journal.ledger import unframed
from gateway.journal.opening import connect
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.records import DeliveryRow, InboundRow

_INBOUND = """SELECT seq, id, channel, state, attempt, received_at, changed_at, due_at, lane, sealed, note
    FROM inbound"""
_DELIVERY = """SELECT d.seq, d.id, i.id, d.channel, d.state, d.attempt, d.created_at, d.changed_at, d.due_at,
    d.expires_at, d.destination, CASE d.sealed WHEN x'00' THEN i.sealed ELSE d.sealed END, d.notes
    FROM delivery d JOIN inbound i ON i.seq = d.inbound"""

# Rows of a file that is read beside the gateway, held at once.
_PAGE = 500

Exchange = tuple[InboundRow, Sequence[DeliveryRow]]


def message(db: sqlite3.Connection, envelope_id: str) -> InboundRow | None:
    """Find one message."""
    return next(_inbound(db, "WHERE id = ?", (envelope_id,)), None)


def latest(path: Path, since: float, limit: int) -> Iterator[InboundRow]:
    """Yield the messages of a file that came in after `since`, newest first, beside whoever writes it."""
    with closing(_beside(path)) as db:
        below = 2**62
        while limit > 0:
            rows = list(_inbound(db, "WHERE seq < ? ORDER BY seq DESC LIMIT ?", (below, min(limit, _PAGE))))
            fresh = [row for row in rows if row.received_at >= since]
            yield from fresh
            if not fresh:  # what a person put back has a high number and an old time, but never a whole page
                return
            limit, below = limit - len(fresh), rows[-1].seq


def found(path: Path, envelope_id: str) -> InboundRow | None:
    """Find one message in a file, beside whoever writes it."""
    with closing(_beside(path)) as db:
        return message(db, envelope_id)


def delivery(db: sqlite3.Connection, delivery_id: str) -> DeliveryRow | None:
    """Find one delivery."""
    return next(_deliveries(db, "WHERE d.id = ?", (delivery_id,)), None)


def deliveries_of(db: sqlite3.Connection, envelope_id: str) -> list[DeliveryRow]:
    """Read the replies to one message, in order."""
    where = "WHERE d.inbound = (SELECT seq FROM inbound WHERE id = ?) ORDER BY d.seq"
    return list(_deliveries(db, where, (envelope_id,)))


def inbound_in(
    db: sqlite3.Connection, state: InboundState, limit: int, after_seq: int, *, latest: bool = False
) -> list[InboundRow]:
    """List messages in one state, oldest first, or the newest ones first."""
    order = "DESC" if latest else "ASC"
    hint = "" if state is InboundState.DONE else "AND state <> 'done'"  # lets the partial index serve
    where = f"WHERE state = ? {hint} AND seq > ? ORDER BY seq {order} LIMIT ?"
    return list(_inbound(db, where, (state, after_seq, limit)))


def deliveries_in(
    db: sqlite3.Connection, state: DeliveryState, limit: int, after_seq: int, channel: str, *, latest: bool = False
) -> list[DeliveryRow]:
    """List deliveries in one state, oldest first or newest first, of one channel or of all."""
    order = "DESC" if latest else "ASC"
    hint = "" if state is DeliveryState.DELIVERED else "AND d.state <> 'delivered'"
    where = f"WHERE d.state = ? {hint} AND d.seq > ? AND (? = '' OR d.channel = ?) ORDER BY d.seq {order} LIMIT ?"
    return list(_deliveries(db, where, (state, after_seq, channel, channel, limit)))


def inbound_before(
    db: sqlite3.Connection, state: InboundState, received_before: float, limit: int, after_seq: int
) -> list[InboundRow]:
    """List messages in one open state that came before a moment, in the order of their numbers."""
    where = "WHERE state = ? AND state <> 'done' AND received_at < ? AND seq > ? ORDER BY seq LIMIT ?"
    return list(_inbound(db, where, (state, received_before, after_seq, limit)))


def deliveries_before(
    db: sqlite3.Connection, state: DeliveryState, received_before: float, limit: int, after_seq: int
) -> list[DeliveryRow]:
    """List deliveries in one open state whose messages came before a moment, in the order of their numbers."""
    where = "WHERE d.state = ? AND d.state <> 'delivered' AND i.received_at < ? AND d.seq > ? ORDER BY d.seq LIMIT ?"
    return list(_deliveries(db, where, (state, received_before, after_seq, limit)))


def deliveries_to(db: sqlite3.Connection, destination: bytes, after_seq: int, limit: int) -> list[DeliveryRow]:
    """List what is not delivered of one destination after a known place."""
    where = "WHERE d.destination = ? AND d.state <> 'delivered' AND d.seq > ? ORDER BY d.seq LIMIT ?"
    return list(_deliveries(db, where, (destination, after_seq, limit)))


def turns(db: sqlite3.Connection, lane: bytes, limit: int) -> list[Exchange]:
    """Read the last finished exchanges of a conversation, oldest first."""
    where = "WHERE lane = ? AND state = 'done' ORDER BY seq DESC LIMIT ?"
    rows = list(_inbound(db, where, (lane, limit)))[::-1]
    replies: dict[str, list[DeliveryRow]] = {row.id: [] for row in rows}
    for reply in _deliveries(db, _among("d.inbound", [row.seq for row in rows]) + "ORDER BY d.seq", ()):
        replies[reply.envelope_id].append(reply)
    return [(row, replies[row.id]) for row in rows]


def inbound_at(db: sqlite3.Connection, seqs: Iterable[int]) -> list[InboundRow]:
    """Read the messages with these numbers, oldest first."""
    return list(_inbound(db, _among("seq", seqs) + "ORDER BY seq", ()))


def deliveries_at(db: sqlite3.Connection, seqs: Iterable[int]) -> list[DeliveryRow]:
    """Read the deliveries with these numbers, oldest first."""
    return list(_deliveries(db, _among("d.seq", seqs) + "ORDER BY d.seq", ()))


def digests(db: sqlite3.Connection, after: bytes, limit: int) -> list[bytes]:
    """Read a page of the dedupe digests, in their order."""
    rows = db.execute("SELECT digest FROM dedupe WHERE digest > ? ORDER BY digest LIMIT ?", (after, limit))
    return [digest for (digest,) in rows]


def cursor(db: sqlite3.Connection, channel: str, name: str) -> bytes:
    """Read a cursor, b'' when there is none."""
    row = db.execute("SELECT sealed FROM cursor WHERE channel = ? AND name = ?", (channel, name)).fetchone()
    return bytes(row[0]) if row else b""


def tally(db: sqlite3.Connection) -> dict[str, int]:
    """Read the counters of rows by state."""
    return dict(db.execute("SELECT name, rows FROM tally").fetchall())


def _beside(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise JournalError(f"There is no journal at {path}: has the daemon run with this state_dir?")
    try:
        return connect(path, read_only=True)
    except sqlite3.OperationalError as error:
        raise JournalError(f"{path} cannot be read: {error}. Are you the gateway's user?") from error


def _among(column: str, seqs: Iterable[int]) -> str:
    return f"WHERE {column} IN ({','.join(map(str, seqs))}) "


def _inbound(db: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> Iterator[InboundRow]:
    for row in db.execute(f"{_INBOUND} {where}", values).fetchall():
        seq, identity, channel, state, attempt, received_at, changed_at, due_at, lane, sealed, note = row
        yield InboundRow(
            seq=seq,
            id=identity,
            channel=channel,
            state=InboundState(state),
            attempt=attempt,
            received_at=received_at,
            changed_at=changed_at,
            due_at=due_at,
            lane=lane,
            sealed=sealed,
            note=note,
        )


def _deliveries(db: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> Iterator[DeliveryRow]:
    for row in db.execute(f"{_DELIVERY} {where}", values).fetchall():
        yield DeliveryRow(
            seq=row[0],
            id=row[1],
            envelope_id=row[2],
            channel=row[3],
            state=DeliveryState(row[4]),
            attempt=row[5],
            created_at=row[6],
            changed_at=row[7],
            due_at=row[8],
            expires_at=row[9],
            destination=row[10],
            sealed=row[11],
            notes=unframed(row[12]),
        )
