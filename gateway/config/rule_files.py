"""Read what the rules need from the disk: the *.rules files, FILE lists and time zones.

`rules/` is pure; this is the loader the gateway passes in. A FILE list must lie in the rules
folder: a rule may be written by somebody who may not read every file of this machine.
"""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from rules import Unavailable

SUFFIX = ".rules"


def read_rules(folder: Path) -> dict[str, bytes]:
    """Return the text of every rule file by its name; a folder that is missing holds none. Blocks on the disk."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob(f"*{SUFFIX}")) if path.is_file()}


class RuleLoader:
    """FILE lists relative to the rules folder, one entry a line; zones by their IANA name."""

    def __init__(self, folder: Path, time_zone: str) -> None:
        self._folder, self._time_zone = folder, time_zone

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the entries of a list, without empty lines and # comments; raises `Unavailable` with the reason."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise Unavailable(f"{name} lies outside {self._folder}")
        try:
            entries = (line.strip() for line in path.read_text("utf-8").splitlines())
            return tuple(entry for entry in entries if entry and not entry.startswith("#"))
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Unavailable(f"{path} is not UTF-8 at byte {error.start}") from error

    def zone(self, name: str) -> tzinfo:
        """Return a time zone, "" being the configured one; raises `Unavailable` for an unknown name."""
        try:
            return ZoneInfo(name or self._time_zone)
        except (ValueError, OSError, KeyError) as error:
            raise Unavailable(f'there is no time zone "{name or self._time_zone}"') from error
