"""Read the operator's rule files, and give the rules what they ask for from outside.

Only files named `*.rules` count, so editors' backups and half-written temporary files beside them
never do. A FILE list is looked for beside the rules and nowhere above.
"""

from __future__ import annotations

import os
from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from rules import Unavailable

# A word list of a million entries is about 10 MB.
MOST_LIST_BYTES = 64 * 1024 * 1024
# One byte more than the rules library takes: a larger file is refused by it, and never held in memory whole.
MOST_RULE_BYTES = 64 * 1024 * 1024 + 1


def rule_paths(folder: Path) -> list[Path]:
    """Return the rule files of a folder, in order. Raises `OSError` when it cannot be listed."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_rule_file(entry.name) and entry.is_file()]
    return [folder / name for name in sorted(names)]


def is_rule_file(name: str) -> bool:
    """Say whether a file of this name holds rules: `.#main.rules`, `main.rules~` and `4913` do not."""
    return name.endswith(".rules") and not name.startswith((".", "#"))


def read_rules(folder: Path, *, may_lack: bool = True) -> dict[str, bytes]:
    """Return the rule files of a folder by name, in order. Blocks on the disk; raises `OSError`.

    A folder that is not there is one without rules, unless it must be: `may_lack` is False once rules serve.
    """
    try:
        paths = rule_paths(folder)
    except FileNotFoundError:
        if may_lack:
            return {}
        raise
    return {path.name: _content(path) for path in paths}


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_RULE_BYTES)


class FolderLoader:
    """FILE lists from the rules' folder, time zones from the system; `zone` is the configured one.

    `asked` are the names of all lists that were ever asked for: the files whose change matters.
    """

    def __init__(self, folder: Path, zone: str) -> None:
        self.folder, self.configured_zone = folder, zone
        self.asked: set[str] = set()

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the list's entries: a line each, without blank lines and `#` comments. Raises `Unavailable`."""
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise Unavailable(f"{name} is outside of {self.folder}; lists stand beside the rules")
        self.asked.add(name)
        try:
            text = self._read(path)
        except IsADirectoryError:
            raise Unavailable(f"{path} is a directory") from None
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"{path} cannot be read: {error}") from None
        entries = (line.strip() for line in text.splitlines())
        return tuple(entry for entry in entries if entry and not entry.startswith("#"))

    def zone(self, name: str) -> tzinfo:
        """Return a time zone by name; '' is the configured one. Raises `Unavailable`."""
        try:
            return ZoneInfo(name or self.configured_zone)
        except (KeyError, ValueError, OSError):
            raise Unavailable(f'there is no time zone "{name}"') from None

    def _read(self, path: Path) -> str:
        # Opened without waiting: a FIFO of that name would hold the reload until somebody writes into it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8-sig") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_LIST_BYTES:
                raise Unavailable(f"{path} is larger than {MOST_LIST_BYTES:,} bytes")
            return file.read()
