"""What each message pays for: a statement that builds nothing of its own, and takes bytes as they are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.journal import schema
from gateway.journal import statements as sql
from gateway.journal.opening import open_for_writing
from gateway.message.lifecycle import DeliveryState, InboundState

EVERY_MESSAGE = (
    sql.CLAIM, sql.STORE, sql.STORE_ENDED, sql.MOVE_INBOUND, sql.INTEND, sql.SETTLE_PENDING, sql.SETTLE_PENDING_AT,
    sql.COUNT,
)  # fmt: skip
# Before, a list of states made SQLite build a tree of them for every row.
LISTS = {
    schema._one_of(states): f"state IN ({', '.join(repr(state.value) for state in states)})"
    for states in (InboundState, DeliveryState)
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def trees(db: sqlite3.Connection) -> list[str]:
    """Name the statements that build a tree in memory each time they run."""
    return [
        text
        for text in EVERY_MESSAGE
        if any(row[1] == "OpenEphemeral" for row in db.execute(f"EXPLAIN {text}", (None,) * text.count("?")))
    ]


def of_an_earlier_release(path: Path) -> None:
    """Make a journal file with a message in it, as releases made it that listed the states."""
    tables = schema.TABLES
    for now, before in LISTS.items():
        tables = tables.replace(now, before)
    assert tables != schema.TABLES
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(f"PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; {tables}")
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {schema.VERSION}")
    db.execute(sql.STORE, (1, "m1", "web", 0.0, 0.0, b"l", b"s", b"x"))
    assert sql.STORE in trees(db)
    db.close()


def test_no_statement_of_a_message_builds_a_tree_of_its_own(path: Path) -> None:
    db = open_for_writing(path)
    assert trees(db) == []
    db.close()


def test_a_file_of_an_earlier_release_costs_no_more_and_keeps_what_it_holds(path: Path) -> None:
    of_an_earlier_release(path)
    db = open_for_writing(path)
    assert trees(db) == []
    assert db.execute("SELECT id, state FROM inbound").fetchall() == [("m1", "accepted")]
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(fresh)
    tables = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    assert db.execute(tables).fetchall() == fresh.execute(tables).fetchall()
    db.close()


@pytest.mark.parametrize("old", [False, True])
def test_a_state_that_is_none_is_still_refused(path: Path, old: bool) -> None:
    if old:
        of_an_earlier_release(path)
    db = open_for_writing(path)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        db.execute(sql.STORE_ENDED, (7, "m7", "web", "nonsense", 0.0, 0.0, 0.0, b"l", b"s", b"x", b""))
    db.close()


def test_where_sqlite_does_not_let_us_an_earlier_file_serves_as_it_is(path: Path) -> None:
    of_an_earlier_release(path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA query_only = 1")
    schema.ease(db)
    assert not db.in_transaction
    assert db.execute("SELECT id, state FROM inbound").fetchall() == [("m1", "accepted")]
    db.close()


def test_bytes_go_into_a_row_as_the_very_object_they_are(path: Path) -> None:
    db = open_for_writing(path)
    for value in (b"", b"\0", b"\xff" * 100_000):
        assert db.execute("SELECT ?, typeof(?1)", (value,)).fetchone() == (value, "blob")
    db.close()
