"""Keep the key ring's file: made on the first run, readable by its owner alone, replaced whole.

A key ring that others can read protects nothing, so one with an open mode is refused, not
mended: its keys may be known already. What the text means is `gateway/message/keyring.py`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gateway.errors import KeyRingError, KeyRingUnwritten, is_forbidden
from gateway.message.keyring import KeyRing, format_keyring, parse_keyring
from gateway.newfile import write_new
from gateway.plainfile import plain_only

FILE_NAME = "keyring"
_OTHERS = 0o077


def read_keyring(path: Path) -> KeyRing | None:
    """Return the ring in `path`, or None where there is no such file. Raises `KeyRingError`; blocks on the disk."""
    try:
        with open(path, "rb", opener=plain_only) as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & _OTHERS:
                raise KeyRingError(
                    f"{path} has mode {mode:04o}, so other users may have read its keys; "
                    f"if you are sure they have not, run 'chmod 600 {path}', else rotate the keys after it."
                )
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        way_out = f"The daemon's user must own it; as root: chown -R --reference={path.parent}/ {path.parent}/"
        raise KeyRingError(f"{path} cannot be read: {error.strerror}. {way_out}") from error
    return parse_keyring(text, str(path))


def write_keyring(path: Path, ring: KeyRing) -> None:
    """Replace the file with `ring`: whoever reads sees the old or the new, also after a power cut.

    The file is made with mode 0600 before the first secret is written, and belongs to whom the old one belonged:
    what root replaces is still the service's. Raises `KeyRingError`; blocks on the disk.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.unlink(missing_ok=True)
        write_new(fresh, format_keyring(ring).encode(), mode=0o600)
        _give_to_the_owner_of(path, fresh)
        fresh.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        _discard(fresh)


def create_keyring(path: Path, ring: KeyRing) -> KeyRing:
    """Write `ring` unless the file exists, and return the ring that is in the file now.

    Two daemons that start together for the first time end up with the same ring. Raises `KeyRingError`.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        write_new(fresh, format_keyring(ring).encode(), mode=0o600)
        try:
            os.link(fresh, path)  # unlike rename, fails where a ring stands already: never overwrite one
        except FileExistsError:
            pass
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        _discard(fresh)
    return read_keyring(path) or ring


def _unwritten(path: Path, error: OSError) -> KeyRingError:
    sort = KeyRingError if is_forbidden(error) else KeyRingUnwritten
    return sort(f"{path} cannot be written: {error.strerror}.")


def _give_to_the_owner_of(path: Path, fresh: Path) -> None:
    try:
        owner = path.stat()
    except FileNotFoundError:
        return
    if os.geteuid() == 0:  # nobody else may give a file away
        os.chown(fresh, owner.st_uid, owner.st_gid)


def _discard(fresh: Path) -> None:
    with suppress(OSError):
        fresh.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
