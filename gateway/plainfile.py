"""Read what an operator names: a plain file, whole.

Whoever opens a named pipe waits until somebody writes into it, and a device may never end: a start or a reload that met
one would hang. A link is followed, so `/dev/fd/3` or a credential is as good as the file it leads to.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def must_be_plain(path: str | Path) -> None:
    """Raise `OSError` for what is there and no plain file; of a directory the system says so itself."""
    kind = _KINDS.get(stat.S_IFMT(Path(path).stat().st_mode))
    if kind is not None:
        raise OSError(errno.EINVAL, f"{kind}, not a plain file", str(path))


def plain_only(path: str, flags: int) -> int:
    """Be the `opener` of `open`: never waits, and raises `OSError` for what is no plain file."""
    must_be_plain(path)
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_plain(path: Path) -> bytes:
    """Return what is in a plain file. Raises `OSError`; blocks on the disk alone."""
    with open(path, "rb", opener=plain_only) as file:
        return file.read()


def read_plain_text(path: Path) -> str:
    """Return the text of a plain file in UTF-8, which may begin with a mark. Raises `OSError`, `UnicodeDecodeError`."""
    with open(path, encoding="utf-8-sig", opener=plain_only) as file:
        return file.read()
