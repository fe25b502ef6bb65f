"""Keep a second daemon off the same journal.

The kernel drops the lock when the process ends, however it ends: there is no stale lock to
remove by hand.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import JournalBusy, unwritable


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the journal at `path` for this process.

    Raises JournalBusy, which names its holder, JournalForbidden or JournalFull.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "another process"
            raise JournalBusy(
                f"{path} is in use by process {holder}. Stop that daemon first, or give this one its own state_dir."
            ) from error
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:
            raise unwritable(lock, error) from error
        yield
    finally:
        os.close(descriptor)
