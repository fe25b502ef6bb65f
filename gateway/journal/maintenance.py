"""Look after a journal file from beside the running daemon: info, check, export, compact, backup.

Plain functions with connections of their own; the daemon keeps writing meanwhile. Each reads
one snapshot, which keeps the WAL from starting anew for as long as it takes: for a file of
many gigabytes choose a quiet hour. Sealed columns stay sealed.
"""

from __future__ import annotations

import sqlite3
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import JournalDamaged, JournalError
from gateway.journal import schema
from gateway.journal.opening import connect, damaged, told
from gateway.journal.reading import tally

_TABLES = ("inbound", "delivery", "dedupe", "cursor")
_LEAP = 50  # numbers skipped behind a row that cannot be read: about one page
_NO_JOURNAL = "it holds no tables of a journal"
_COMPACT_PAGES = 200  # the writer waits some 2 ms for one step
# How often, and how many times, to look whether the WAL is copied: whoever reads an older snapshot is done by then.
_COPIED_SECONDS, _COPIED_LOOKS = 0.05, 200


class Info(Struct, frozen=True, kw_only=True):
    """A journal at a glance. Sizes in bytes, times in epoch seconds (0: there is none)."""

    version: int
    file_bytes: int
    wal_bytes: int
    free_bytes: int
    rows: dict[str, int]
    dedupe_keys: int
    oldest_unfinished_at: float
    oldest_at: float
    newest_at: float


def info(path: Path) -> Info:
    """Sum the journal up. Raises JournalError when there is none, JournalDamaged when it cannot be read."""
    with _reading(path) as db:
        times = db.execute(
            "SELECT coalesce(min(received_at), 0), coalesce(max(received_at), 0) FROM inbound"
        ).fetchone()
        unfinished = "SELECT coalesce(min(received_at), 0) FROM inbound WHERE state = 'accepted' AND state <> 'done'"
        return Info(
            version=_number(db, "PRAGMA user_version"),
            file_bytes=_size(path),
            wal_bytes=_size(path.with_name(path.name + "-wal")),
            free_bytes=_number(db, "PRAGMA freelist_count") * _number(db, "PRAGMA page_size"),
            rows=tally(db),
            dedupe_keys=_number(db, "SELECT count(*) FROM dedupe"),
            oldest_unfinished_at=db.execute(unfinished).fetchone()[0],
            oldest_at=times[0],
            newest_at=times[1],
        )


def check(path: Path) -> list[str]:
    """Read the whole file and return what is wrong with it, nothing when all is well. Raises JournalError."""
    try:
        with _reading(path) as db:
            db.execute("BEGIN")
            found = [told(str(row[0])) for row in db.execute("PRAGMA integrity_check(100)") if row[0] != "ok"]
            orphans = db.execute("PRAGMA foreign_key_check").fetchall()
            found += [f"delivery number {row[1]} belongs to no message" for row in orphans]
            return found + _miscounted(db)
    except JournalDamaged as error:
        return [str(error)]


def export(path: Path) -> Iterator[bytes]:
    """Yield every row as a line of JSON, blobs in base64; what a damaged file cannot give is leapt over.

    The last line says how many rows were read from each table, and how often one could not be.
    """
    encode, read, lost = msgspec.json.encode, dict.fromkeys(_TABLES, 0), 0
    with _reading(path) as db:
        for table in _TABLES:
            for row in _rows(db, table):
                if row is None:
                    lost += 1
                    continue
                read[table] += 1
                yield encode({"table": table, **row})
    yield encode({"table": "", "read": read, "unreadable": lost})


def compact(path: Path) -> int:
    """Give free pages back to the disk in small steps, and return how many bytes. Beside a daemon it delays none."""
    with _told(path), closing(connect(_existing(path))) as db:
        _copy_wal(db)
        before = _size(path)
        while _number(db, "PRAGMA freelist_count"):
            db.execute(f"PRAGMA incremental_vacuum({_COMPACT_PAGES})").fetchall()
        _copy_wal(db)
        return max(0, before - _size(path))


def _copy_wal(db: sqlite3.Connection) -> None:
    """Have the WAL in the file, whose size says nothing before; while the daemon copies or somebody reads it waits."""
    for _ in range(_COPIED_LOOKS):
        busy, pages, copied = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if not busy and pages == copied:
            return
        time.sleep(_COPIED_SECONDS)


def backup(path: Path, target: Path) -> int:
    """Copy one consistent snapshot to `target`, which must not exist, and return its size.

    The key ring and the dictionaries are not in it: without them nobody can read the copy. Raises JournalError.
    """
    if target.exists():
        raise JournalError(f"{target} exists; give the backup a name of its own.")
    half = target.with_name(target.name + ".part")
    half.unlink(missing_ok=True)
    with _reading(path) as db:
        if not _number(db, "PRAGMA user_version"):
            raise damaged(path, _NO_JOURNAL)
        try:
            _copy(db, half)
            half.rename(target)
        except (OSError, sqlite3.OperationalError) as error:
            raise JournalError(f"{target} cannot be written: {error}.") from error
        finally:
            half.unlink(missing_ok=True)
    return _size(target)


def _copy(db: sqlite3.Connection, half: Path) -> None:
    with closing(sqlite3.connect(half)) as copy:
        half.chmod(0o600)
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


# ---- helpers ----------------------------------------------------------------------------------


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading."""
    with _told(path), closing(connect(_existing(path), read_only=True)) as db:
        yield db


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Put SQLite's complaints into ours: about the content they become JournalDamaged, about the disk JournalError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # an empty file is a database to SQLite
            raise damaged(path, _NO_JOURNAL) from error
        raise JournalError(f"{path} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from error


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise JournalError(f"There is no journal at {path}: has the daemon run with this state_dir?")
    return path


def _number(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _miscounted(db: sqlite3.Connection) -> list[str]:
    counted = {f"inbound.{state}": rows for state, rows in db.execute("SELECT state, count(*) FROM inbound GROUP BY 1")}
    counted |= {
        f"delivery.{state}": rows for state, rows in db.execute("SELECT state, count(*) FROM delivery GROUP BY 1")
    }
    kept = tally(db)
    return [
        f"the counter {name} says {kept.get(name, 0)}, the table holds {counted.get(name, 0)}"
        for name in schema.tally_names()
        if kept.get(name, 0) != counted.get(name, 0)
    ]


def _rows(db: sqlite3.Connection, table: str) -> Iterator[dict[str, Any] | None]:
    """Read a table row by row; None stands for a place that cannot be read."""
    if table in ("dedupe", "cursor"):
        yield from _read(db, f"SELECT * FROM {table}", ())
        return
    seq, top = 0, _top(db, table)
    while seq < top:
        before = seq
        for row in _read(db, f"SELECT * FROM {table} WHERE seq > ? ORDER BY seq LIMIT 1000", (seq,)):
            if row is None:
                seq += _LEAP
            else:
                seq = row["seq"]
            yield row
        if seq == before:  # the daemon deleted the last rows meanwhile
            return


def _read(db: sqlite3.Connection, query: str, values: tuple[Any, ...]) -> Iterator[dict[str, Any] | None]:
    try:
        cursor = db.execute(query, values)
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield {name: _plain(value) for name, value in zip(names, row, strict=True)}
    except sqlite3.DatabaseError:
        yield None


def _top(db: sqlite3.Connection, table: str) -> int:
    """Find the highest number, in a damaged file through the index of ids."""
    for query in (
        f"SELECT max(seq) FROM {table}",
        f"SELECT max(seq) FROM {table} INDEXED BY sqlite_autoindex_{table}_1",
    ):
        try:
            return _number(db, query) if db.execute(query).fetchone()[0] else 0
        except sqlite3.DatabaseError:
            continue
    return 0


def _plain(value: Any) -> Any:
    return b64encode(value).decode() if isinstance(value, bytes) else value
