"""Fold the WAL back into the file without the writer waiting for it.

A thread of its own copies pages four times a second (PASSIVE: it locks nobody out). What it
cannot do is start the WAL anew while the writer keeps appending; for that the writer, once the WAL has
grown to `opening.WRITER_PAGES`, copies the few pages that came since, and its next commit starts at the front.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from gateway.journal.opening import connect

CHECKPOINT_SECONDS = 0.25
# An idle journal gives this much back to the disk.
IDLE_BYTES = 4_000_000


async def checkpoints(path: Path, settled: Callable[[], int]) -> None:
    """Run for ever; `settled` tells how much was written, so that an idle journal is left alone."""
    alone = trio.CapacityLimiter(1)
    db = await trio.to_thread.run_sync(_connect, path, limiter=alone)
    try:
        seen, idle = -1, False
        while True:
            await trio.sleep(CHECKPOINT_SECONDS)
            now = settled()
            if now != seen:
                await trio.to_thread.run_sync(_copy, db, limiter=alone)
            elif not idle:
                await trio.to_thread.run_sync(_shrink, db, path, limiter=alone)
            seen, idle = now, now == seen
    finally:
        db.close()


def _connect(path: Path) -> sqlite3.Connection:
    db = connect(path)
    db.execute("PRAGMA busy_timeout = 0")
    with suppress(sqlite3.DatabaseError):  # it reads the schema; FULL is what SQLite does unasked
        db.execute("PRAGMA synchronous = FULL")
    return db


def _copy(db: sqlite3.Connection) -> None:
    _checkpoint(db, "PASSIVE")


def _shrink(db: sqlite3.Connection, path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > IDLE_BYTES:
        _checkpoint(db, "TRUNCATE")


def _checkpoint(db: sqlite3.Connection, how: str) -> None:
    try:
        db.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
    except sqlite3.DatabaseError:
        # A disk that refuses, and damage, are the writer's to report; the WAL keeps everything until a later round.
        pass
