"""What stands in the files that `oclaw reload` reads, as digests: a file that was only touched is the one it was.

Looked at every second, so a file is read again only when its times, size or inode are others than at the last look.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path

from gateway.daemon.rulefiles import SETTLED_NS

Content = dict[str, bytes]
# Configuration is some kilobytes long. What is longer, or no plain file (reading a pipe would wait), goes by its times.
MOST_BYTES = 1 << 22
_Stamp = tuple[int, int, int, int]


class Contents:
    """Remembers the digests of files. May be asked by several threads: they would only read the same file twice."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._known: dict[Path, tuple[_Stamp, bytes]] = {}

    def look(self, paths: Iterable[Path], root: Path) -> Content:
        """Return what is in the files now, by their names below `root`; b'' for one that is not there."""
        known, self._known, seen = self._known, {}, Content()
        for path in paths:
            seen[name_below(path, root)] = self._digest(path, known.get(path))
        return seen

    def _digest(self, path: Path, known: tuple[_Stamp, bytes] | None) -> bytes:
        try:
            found = path.stat()
        except (OSError, ValueError):  # ValueError: no file can have this name
            return b""
        stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        if known is None or known[0] != stamp:
            known = stamp, _digest_of(path, found, stamp)
        # Written again within the same tick of the system's clock, it would bear the same times.
        if max(stamp[:2]) < self._now_ns() - SETTLED_NS:
            self._known[path] = known
        return known[1]


def name_below(path: Path, root: Path) -> str:
    """Return what a file is called: by its place below `root`, where it is there."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _digest_of(path: Path, found: os.stat_result, stamp: _Stamp) -> bytes:
    if stat.S_ISREG(found.st_mode) and found.st_size <= MOST_BYTES:
        try:
            return blake2b(path.read_bytes(), digest_size=16).digest()
        except OSError:
            pass
    return repr(stamp).encode()
