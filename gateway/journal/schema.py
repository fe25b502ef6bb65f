"""The tables, what always holds in them, and the step from each version to the next.

The states and their CHECKs are printed from `gateway/message/lifecycle.py`. Sealed columns
hold envelopes that only the key ring opens; searched columns hold keyed digests.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from gateway.message.lifecycle import DeliveryState, InboundState

APPLICATION_ID = 0x6F636C77  # "oclw", in the file's header: `file journal.sqlite` shows it
VERSION = 4

_MARK = """
-- What time it was by the journal's own clock, which goes on while the gateway runs, what the wall clock said then, and
-- which message was the newest.
CREATE TABLE mark (
    uptime REAL PRIMARY KEY,
    wall REAL NOT NULL,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
"""

# The tables stay, but what a sealed column may hold does not, and an older release could not open it: from version 3 a
# message and its story in one record, from 4 the reply as well.
_SAME_TABLES = "SELECT 1"

STEPS: Mapping[int, str] = {1: _MARK, 2: _SAME_TABLES, 3: _SAME_TABLES}
"""What turns a file of version n into one of version n + 1; run in one transaction, after a backup."""


def _listed(states: type[InboundState] | type[DeliveryState]) -> str:
    return f"state IN ({', '.join(repr(state.value) for state in states)})"


def _one_of(states: type[InboundState] | type[DeliveryState]) -> str:
    """Compare one by one: of a list SQLite builds a tree in memory, anew for every row, at half a statement's cost."""
    return " OR ".join(f"state = {state.value!r}" for state in states)


TABLES = f"""
-- One row for each accepted message. `seq` is the order of acceptance within a lane; a message that
-- a person or its due time puts back into the walk gets a new seq: it re-enters at the tail.
CREATE TABLE inbound (
    seq         INTEGER PRIMARY KEY CHECK (seq > 0),
    id          TEXT NOT NULL UNIQUE,
    channel     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK ({_one_of(InboundState)}),
    attempt     INTEGER NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    received_at REAL NOT NULL,
    changed_at  REAL NOT NULL,
    due_at      REAL NOT NULL DEFAULT 0 CHECK (due_at = 0 OR state = 'delayed'),
    lane        BLOB NOT NULL,
    sender      BLOB NOT NULL,
    sealed      BLOB NOT NULL CHECK (length(sealed) > 0),
    note        BLOB NOT NULL DEFAULT x''
);

-- What is not done, by state: recovery, the dead letters, what is held. Stays small.
CREATE INDEX inbound_open ON inbound (state, seq) WHERE state <> 'done';

-- The finished exchanges of a conversation: the history a model is shown.
CREATE INDEX inbound_turns ON inbound (lane, seq) WHERE state = 'done';

-- One row for each reply to one destination, stored in the transaction that ends the walk of its
-- message; so every delivery has an inbound row, and `seq` is the order of sending to a destination.
-- `attempt` counts the attempts that have ended; `notes` are sealed notes, each after its length in 4 bytes.
-- `sealed` is x'00' where the reply stands in the record of its message (`statements.SHARED`).
CREATE TABLE delivery (
    seq         INTEGER PRIMARY KEY CHECK (seq > 0),
    id          TEXT NOT NULL UNIQUE,
    inbound     INTEGER NOT NULL REFERENCES inbound (seq),
    channel     TEXT NOT NULL,
    destination BLOB NOT NULL,
    state       TEXT NOT NULL CHECK ({_one_of(DeliveryState)}),
    attempt     INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    created_at  REAL NOT NULL,
    changed_at  REAL NOT NULL,
    due_at      REAL NOT NULL DEFAULT 0 CHECK (due_at = 0 OR state = 'deferred'),
    expires_at  REAL NOT NULL,
    sealed      BLOB NOT NULL CHECK (length(sealed) > 0),
    notes       BLOB NOT NULL DEFAULT x''
);
CREATE INDEX delivery_open ON delivery (state, seq) WHERE state <> 'delivered';
CREATE INDEX delivery_of ON delivery (inbound);
-- What a destination still has coming; stays small, so that a reply does not touch a page of its own here.
CREATE INDEX delivery_to ON delivery (destination, seq) WHERE state <> 'delivered';

-- Which messages are known. A digest is claimed in the transaction that stores its message, so a
-- message that was not stored is not known; it outlives its message when the horizon is longer.
-- `until` is of the journal's own time (`uptime.py`).
CREATE TABLE dedupe (
    digest  BLOB PRIMARY KEY,
    until   REAL NOT NULL,
    id      TEXT NOT NULL
) WITHOUT ROWID;

-- How far each channel has read its platform; moves in the transaction that stores what it covers.
CREATE TABLE cursor (
    channel TEXT NOT NULL,
    name    TEXT NOT NULL,
    sealed  BLOB NOT NULL,
    PRIMARY KEY (channel, name)
) WITHOUT ROWID;

-- Rows by state, kept in every transaction: counting millions of rows for a metric would stall.
CREATE TABLE tally (
    name    TEXT PRIMARY KEY,
    rows    INTEGER NOT NULL CHECK (rows >= 0)
) WITHOUT ROWID;
{_MARK}"""


def tally_names() -> list[str]:
    """Name every counter: 'inbound.accepted', 'delivery.pending' and so on."""
    return [f"inbound.{state}" for state in InboundState] + [f"delivery.{state}" for state in DeliveryState]


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file, in one transaction: a kill leaves an empty file or a whole one."""
    counters = ", ".join(f"('{name}', 0)" for name in tally_names())
    db.executescript(
        f"BEGIN IMMEDIATE; {TABLES} INSERT INTO tally VALUES {counters};"
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def ease(db: sqlite3.Connection) -> None:
    """Have a file of an earlier release check its states as `_one_of` says: the same rule at a lower price.

    The text of a CHECK may be written anew in the schema (sqlite.org/lang_altertable.html, section 7), and older
    releases read it as well. Where SQLite does not let us, the file stays as it is.
    """
    texts = db.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name IN ('inbound', 'delivery')")
    if not any(_listed(states) in text for (text,) in texts.fetchall() for states in (InboundState, DeliveryState)):
        return
    version = db.execute("PRAGMA schema_version").fetchone()[0]
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("PRAGMA writable_schema = ON")
        for states in (InboundState, DeliveryState):
            texts_of = (_listed(states), _one_of(states))
            db.execute("UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE type = 'table'", texts_of)
        db.execute(f"PRAGMA schema_version = {version + 1}")
        db.execute("COMMIT")
    except sqlite3.OperationalError:
        if db.in_transaction:
            db.execute("ROLLBACK")
    finally:
        db.execute("PRAGMA writable_schema = RESET")
