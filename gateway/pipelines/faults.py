"""The faults of one pipeline file: each with its line and column, in the file's order, cut where they have no end."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from msgspec import Struct

from gateway.errors import SettingError

# A screen's worth; what is wrong is mended from the top.
MOST_FAULTS = 50
# What stands in the file may be a megabyte long, and so may be the list of what it could have meant.
MOST_SHOWN = 60
_MOST_KNOWN = 2000


class Mark(Struct, frozen=True, order=True):
    """A place in the file; both count from 1."""

    line: int
    column: int


class Faults:
    """Collects the faults of `file`, its name as errors show it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[tuple[Mark, SettingError]] = []

    def __len__(self) -> int:
        return len(self._found)

    @property
    def full(self) -> bool:
        """Whether there are more than are told, and nobody need look any further."""
        return len(self._found) > MOST_FAULTS

    def place(self, mark: Mark, setting: str) -> str:
        """Return how a place is written: file, line, column, and what stands there."""
        where = f"{self.file}:{mark.line}:{mark.column}"
        return f"{where}: {setting}" if setting else where

    def add(self, mark: Mark, setting: str, *, found: str, wanted: str, hint: str = "") -> None:
        """Note one fault of a setting; '' where it is none's."""
        self.take(mark, [SettingError(self.place(mark, setting), found=found, wanted=wanted, hint=hint)])

    def take(self, mark: Mark, problems: Sequence[SettingError]) -> None:
        """Note faults that bear their place already."""
        self._found += [(mark, problem) for problem in problems]

    def told(self) -> list[SettingError]:
        """Return them in the order of the file; the last says so when there are more."""
        told = [problem for _, problem in sorted(self._found, key=lambda one: one[0])][:MOST_FAULTS]
        if self.full:
            wanted = "mended from the top; the rest is told then"
            told.append(SettingError(self.file, found=f"wrong in more than these {MOST_FAULTS} places", wanted=wanted))
        return told


def short(text: str) -> str:
    """Return what an operator wrote, as long as a sentence takes it."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 1]}…"


def meant(word: str, known: Sequence[str]) -> str:
    """Return "Did you mean x?" when something known is near, else ''."""
    near = get_close_matches(word[:MOST_SHOWN], known[:_MOST_KNOWN], 1)
    return f"Did you mean {near[0]}?" if near else ""
