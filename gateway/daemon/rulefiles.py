"""Read the operator's rule files, and give the rules what they ask for from outside.

Only files named `*.rules` count, so editors' backups and half-written temporary files beside them
never do. A FILE list is looked for beside the rules and nowhere above.
"""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from rules import Unavailable

# A word list of a million entries is about 10 MB.
MOST_LIST_BYTES = 64 * 1024 * 1024


def read_rules(folder: Path) -> dict[str, bytes]:
    """Return the rule files of a folder by name, in order; none when there is no such folder. Blocks on the disk."""
    if not folder.is_dir():
        return {}
    paths = sorted(path for path in folder.glob("*.rules") if path.is_file() and not path.name.startswith("."))
    return {path.name: path.read_bytes() for path in paths}


class FolderLoader:
    """FILE lists from the rules' folder, time zones from the system; `zone` is the configured one."""

    def __init__(self, folder: Path, zone: str) -> None:
        self._folder, self._zone = folder, zone

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the list's entries: a line each, without blank lines and `#` comments. Raises `Unavailable`."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise Unavailable(f"{name} is outside of {self._folder}; lists stand beside the rules")
        try:
            if path.stat().st_size > MOST_LIST_BYTES:
                raise Unavailable(f"{path} is larger than {MOST_LIST_BYTES:,} bytes")
            text = path.read_text("utf-8")
        except IsADirectoryError:
            raise Unavailable(f"{path} is a directory") from None
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"{path} cannot be read: {error}") from None
        entries = (line.strip() for line in text.splitlines())
        return tuple(entry for entry in entries if entry and not entry.startswith("#"))

    def zone(self, name: str) -> tzinfo:
        """Return a time zone by name; '' is the configured one. Raises `Unavailable`."""
        try:
            return ZoneInfo(name or self._zone)
        except (KeyError, ValueError, OSError):
            raise Unavailable(f'there is no time zone "{name}"') from None
