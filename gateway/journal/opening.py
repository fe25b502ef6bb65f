"""Open the file: make it, bring it to this version, and look whether it is whole.

Raises JournalDamaged with a way out rather than starting on a file that cannot be trusted.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import JournalDamaged, JournalFull, is_forbidden, unwritable
from gateway.journal import schema

# Covers some 100 MB; `oclaw journal check` reads a larger file to its end, beside the running daemon.
CHECK_SECONDS = 0.25
# The writer folds the WAL back itself only beyond 16 MB, and then only what `checkpoint.py` has not copied yet.
WRITER_PAGES = 4000
_STEPS_BETWEEN_LOOKS = 20_000  # of SQLite's virtual machine: about 1 ms

# What Python's module knows no adapter for it asks `__adapt__` and `__conform__` for each time a value is bound, bytes
# among it: that took a third of a statement. `bytes` gives the very same object back.
sqlite3.register_adapter(bytes, bytes.__bytes__)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Connect in autocommit mode; usable from any one thread at a time."""
    mode = "ro" if read_only else "rwc"
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    db.execute("PRAGMA busy_timeout = 10000")
    if read_only:
        db.execute("PRAGMA query_only = 1")
    return db


def open_for_writing(path: Path, steps: Mapping[int, str] = schema.STEPS) -> sqlite3.Connection:
    """Return a connection to a whole file of the newest version.

    Raises JournalDamaged, JournalForbidden or JournalFull.
    """
    try:
        fresh = not path.exists() or path.stat().st_size == 0
        db = connect(path)
        try:
            _prepare(db, path, steps, fresh=fresh)
            path.chmod(0o600)  # what may only be read SQLite opens all the same, and refuses each commit
        except BaseException:
            db.close()
            raise
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            _check_ours(path)
            raise JournalFull(
                f"{path} cannot be opened for writing: {error}. Is the disk full or read-only?"
            ) from error
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise unwritable(path, error) from error
    return db


def _check_ours(path: Path) -> None:
    """Raise JournalForbidden for a file or folder that is somebody else's, which SQLite says of none by name."""
    folder = path.parent
    kept_from = not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
    if kept_from and folder.exists() and not os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise unwritable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        try:
            os.close(os.open(each, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            if is_forbidden(error):
                raise unwritable(each, error) from error


def damaged(path: Path, found: str) -> JournalDamaged:
    """Say what was found and what to do about it."""
    return JournalDamaged(
        f"{path} is damaged: {found}. `oclaw journal export` saves what can still be read; then put the newest "
        f"backup in its place, or move {path.name}* away to start with an empty journal."
    )


def _prepare(db: sqlite3.Connection, path: Path, steps: Mapping[int, str], *, fresh: bool) -> None:
    if fresh:
        db.execute("PRAGMA page_size = 4096")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {WRITER_PAGES}")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cache_size = -16384")
    if fresh or not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        schema.create(db)
        return
    found = db.execute("PRAGMA application_id").fetchone()[0]
    if found != schema.APPLICATION_ID:
        raise JournalDamaged(f"{path} is no journal of this gateway: choose another state_dir, or move the file away.")
    check(db, path, CHECK_SECONDS)
    migrate(db, path, steps)
    schema.ease(db)


def check(db: sqlite3.Connection, path: Path, seconds: float) -> bool:
    """Look whether the pages hang together, for at most `seconds`; False when that was not enough to see all.

    Raises JournalDamaged.
    """
    ends = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > ends, _STEPS_BETWEEN_LOOKS)
    try:
        found = [row[0] for row in db.execute("PRAGMA quick_check(5)")]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    finally:
        db.set_progress_handler(None, 0)
    if found != ["ok"]:
        raise damaged(path, "; ".join(map(told, found)))
    return True


def told(found: str) -> str:
    """Return what SQLite found in a file's pages as one line, without the heading it begins with."""
    return "; ".join([line for line in found.splitlines() if not line.startswith("***")])


def migrate(db: sqlite3.Connection, path: Path, steps: Mapping[int, str]) -> None:
    """Bring the file to the newest version, one transaction a step, after a backup beside it."""
    newest = max(steps, default=schema.VERSION - 1) + 1
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        raise JournalDamaged(too_new(path, version, newest))
    if version < newest:
        _back_up(db, path.with_name(f"{path.name}.v{version}.backup"))
    for step in range(version, newest):
        db.executescript(f"BEGIN IMMEDIATE; {steps[step]}; PRAGMA user_version = {step + 1}; COMMIT;")


def too_new(path: Path, version: int, newest: int = schema.VERSION) -> str:
    """Say what to do about a file that a newer program has written."""
    return (
        f"{path} has version {version}; this oclaw knows versions up to {newest}. Run the newer oclaw again, "
        f"or restore the backup {path.name}.v{newest}.backup it made before."
    )


def _back_up(db: sqlite3.Connection, target: Path) -> None:
    target.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)
