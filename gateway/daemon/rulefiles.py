"""Read the operator's rule files, and give the rules what they ask for from outside.

Only files named `*.rules` count, so editors' backups and half-written temporary files beside them
never do. A FILE list is looked for beside the rules and nowhere above.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.plainfile import plain_only
from rules import Unavailable

# A word list of a million entries is about 10 MB.
MOST_LIST_BYTES = 64 * 1024 * 1024
# One byte more than the rules library takes: a larger file is refused by it, and never held in memory whole.
MOST_RULE_BYTES = 64 * 1024 * 1024 + 1
# A file may be written twice within one tick of its file system's clock (2 s on FAT) and keep its size: only one
# that was older than this when it was read is known by its stamp.
SETTLED_NS = 3_000_000_000
# Whoever writes a file in pieces lets less than this pass between two of them.
REST_SECONDS = 0.03
# A file that is written to without end goes through at last, as it is.
MOST_READINGS = 10
Stamp = tuple[int, int, int, int]  # changed, changed or renamed, size, inode


def rule_paths(folder: Path) -> list[Path]:
    """Return the rule files of a folder, in order. Raises `OSError` when it cannot be listed."""
    with os.scandir(folder) as entries:
        # A pipe or a broken link is told when it is opened: rules that are silently not there refuse nobody.
        files = (entry for entry in entries if is_rule_file(entry.name) and not entry.is_dir(follow_symlinks=False))
        names = [entry.name for entry in files]
    return [folder / name for name in sorted(names)]


def is_rule_file(name: str) -> bool:
    """Say whether a file of this name holds rules: `.#main.rules`, `main.rules~` and `4913` do not."""
    return name.endswith(".rules") and not name.startswith((".", "#"))


def read_rules(folder: Path, *, may_lack: bool = True) -> dict[str, bytes]:
    """Return the rule files of a folder by name, in order. Blocks on the disk; raises `OSError`.

    A folder that is not there is one without rules, unless it must be: `may_lack` is False once rules serve.
    """
    return RuleFiles().read(folder, may_lack=may_lack)


class RuleFiles:
    """Reads a folder again and again: a file that is as it was is not opened, and its bytes are the same object."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns, sleep: Callable[[float], None] = time.sleep) -> None:
        self._now_ns, self._sleep = now_ns, sleep
        self._known: dict[str, tuple[Stamp, bytes]] = {}
        self._read: dict[Path, Stamp] = {}

    def read(self, folder: Path, *, may_lack: bool) -> dict[str, bytes]:
        """As `read_rules`."""
        try:
            paths = rule_paths(folder)
        except FileNotFoundError:
            if may_lack:
                return {}
            raise
        self._read.clear()
        self._known = {path.name: self._known[path.name] for path in paths if path.name in self._known}
        return {path.name: self._content(path) for path in paths}

    def read_rested(self, folder: Path, *, may_lack: bool, served: Collection[str] = ()) -> dict[str, bytes]:
        """As `read`, once the last write is some time ago: who looks because of one edit may find half of the next.

        An editor that first renames what is there leaves for a moment no file of that name: of those in `served` none
        is taken for gone before it was missed twice.
        """
        files, before = self.read(folder, may_lack=may_lack), dict[Path, Stamp]()
        missed = any(name not in files for name in served)
        for _ in range(MOST_READINGS):
            young = self._young_seconds(before)
            if not (young or missed):
                break
            before = dict(self._read)
            self._sleep(REST_SECONDS if missed else young)
            missed = False
            files = self.read(folder, may_lack=may_lack)
        return files

    def at_rest(self) -> bool:
        """Say whether the files that were opened by the last `read` are still what they were before it."""
        return all(_stamp(path) == stamp for path, stamp in self._read.items())

    def _young_seconds(self, before: Mapping[Path, Stamp]) -> float:
        """Return how long the newest of the files that were just opened must rest yet; `before` is an older look."""
        now, young = self._now_ns(), 0.0
        for path, stamp in self._read.items():
            age = (now - max(stamp[:2])) / 1e9
            # Opening a file to write it anew empties it first and sets its times some milliseconds later.
            if not stamp[2] and before.get(path) != stamp:
                young = REST_SECONDS
            elif 0 <= age < REST_SECONDS:  # a clock that was set back since says nothing
                young = max(young, REST_SECONDS - age)
        return young

    def _content(self, path: Path) -> bytes:
        # Looked at before it is opened: what is written in between makes the next look see another file.
        stamp, now = _stamp(path), self._now_ns()
        known = self._known.get(path.name)
        if known is not None and known[0] == stamp:
            return known[1]
        with open(path, "rb", opener=plain_only) as file:
            content = file.read(MOST_RULE_BYTES)
        self._read[path] = stamp
        if max(stamp[:2]) < now - SETTLED_NS:
            self._known[path.name] = stamp, content
        else:
            self._known.pop(path.name, None)
        return content


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


class FolderLoader:
    """FILE lists from the rules' folder, time zones from the system; `zone` is the configured one.

    `asked` are the names of all lists that were ever asked for: the files whose change matters.
    """

    def __init__(self, folder: Path, zone: str) -> None:
        self.folder, self.configured_zone = folder, zone
        self.asked: set[str] = set()

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the list's entries: a line each, without blank lines and `#` comments. Raises `Unavailable`."""
        path = self._place(name)
        self.asked.add(name)
        try:
            text = self._read(path)
        except IsADirectoryError:
            raise Unavailable(f"{path} is a directory") from None
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise Unavailable(f"{path} is not UTF-8: byte 0x{byte:02X} at offset {error.start}") from None
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from None
        entries = (line.strip() for line in text.splitlines())
        return tuple(entry for entry in entries if entry and not entry.startswith("#"))

    def zone(self, name: str) -> tzinfo:
        """Return a time zone by name; '' is the configured one. Raises `Unavailable`."""
        try:
            return ZoneInfo(name or self.configured_zone)
        except (KeyError, ValueError, OSError):
            raise Unavailable("this system has none of that name") from None

    def _place(self, name: str) -> Path:
        if not name:
            raise Unavailable("it has no name")
        try:
            path = (self.folder / name).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, links that lead back to themselves
            raise Unavailable(f"no file can be called that: {error}") from None
        if not path.is_relative_to(self.folder.resolve()):
            raise Unavailable(f"it is outside of {self.folder}; lists stand beside the rules")
        return path

    def _read(self, path: Path) -> str:
        with open(path, encoding="utf-8-sig", opener=plain_only) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_LIST_BYTES:
                raise Unavailable(f"{path} is larger than {MOST_LIST_BYTES:,} bytes")
            return file.read()
