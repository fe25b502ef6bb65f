"""Compare the old and the new text of one file: which statements stayed, and what is to be read anew.

Equal stretches are found by leaps that double; between them the new text is read statement by
statement until it agrees with the old one again. What reaches beyond single rules raises `Beyond`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import NamedTuple

from rules import syntax as s
from rules.cursor import Cursor, Mistake
from rules.parser import STATEMENTS, Report, recover, statement
from rules.places import FIXED, Places

# After an edit this many of the old rules are looked at for the place where the texts agree again.
WINDOW = 64
Read = Callable[[s.Rule | s.Test, int], None]


class Beyond(Exception):
    """The edit reaches beyond single rules."""


class Stretch(NamedTuple):
    """Old statements `first` to `last` (not included) and the text from `begin` to `end`: now so much further on."""

    first: int
    last: int
    begin: int
    end: int
    shift: int
    lines: int


class Gone(NamedTuple):
    """Old statements `first` to `last` (not included) are no more, or were read anew."""

    first: int
    last: int


class Sweep:
    """One walk over both texts. `read` gets each new statement and the number of its ruleset, in order.

    What did not change is right, so what `report` gets are all the problems of the file.
    """

    def __init__(self, old: str, new: str, places: Places, home: int, read: Read, report: Report) -> None:
        self._old, self._new, self._places, self._home = old, new, places, home
        self._read, self._report = read, report
        # Chunk 0 is what stands before the first statement; chunk i + 1 begins with statement i.
        self._bounds = array("q", [0]) + places.starts + array("q", [len(old)])
        self._last = len(self._bounds) - 1

    def run(self, took: Callable[[Stretch | Gone], None]) -> None:
        """Walk. `took` gets what became of the old rules, between the readings."""
        chunk, at, lines = 0, 0, 0
        while chunk < self._last or at < len(self._new):
            equal = self._equal(chunk, at)
            keep = equal if self._whole(chunk + equal, at + self._length(chunk, chunk + equal)) else max(0, equal - 1)
            if keep:
                begin, length = self._bounds[chunk], self._length(chunk, chunk + keep)
                took(Stretch(max(0, chunk - 1), chunk + keep - 1, begin, begin + length, at - begin, lines))
                at += length
                chunk += keep
            if chunk < self._last or at < len(self._new):
                begin, begun = chunk, at
                chunk, at = self._differing(chunk, at)
                took(Gone(max(0, begin - 1), chunk - 1))
                before = self._old.count("\n", self._bounds[begin], self._bounds[chunk])
                lines += self._new.count("\n", begun, at) - before

    def _length(self, first: int, last: int) -> int:
        return self._bounds[last] - self._bounds[first]

    def _whole(self, chunk: int, at: int) -> bool:
        """Whether what stands before `at` in the new text is the same statements there as before the old chunk.

        A rule may go on in an edit behind it (CONTINUE); where a statement began and one begins, nothing goes on.
        """
        if at == len(self._new):
            return chunk == self._last
        between = chunk < self._last or self._new.endswith("\n", 0, at)
        return between and Cursor(self._new, at).word in STATEMENTS

    def _equal(self, chunk: int, at: int) -> int:
        """How many chunks from `chunk` on stand in the new text at `at`."""
        bounds, shift = self._bounds, at - self._bounds[chunk]
        low, step = chunk, 1
        while low < self._last:
            high = min(low + step, self._last)
            if self._new.startswith(self._old[bounds[low] : bounds[high]], bounds[low] + shift):
                low, step = high, step * 2
            elif step == 1:
                break
            else:
                step = 1
        return low - chunk

    def _differing(self, chunk: int, at: int) -> tuple[int, int]:
        """Read new statements until the texts agree again; then where they do."""
        ruleset = self._ruleset(chunk)
        cursor, last = Cursor(self._new, at), self._last
        while cursor.kind != "end":
            # Where nothing was passed yet the texts agree no more than they did.
            found = self._agreeing(chunk if cursor.start > at else chunk + 1, cursor.start)
            if found is not None and self._places.rulesets[found - 1] == ruleset:
                last = found
                break
            self._statement(cursor, ruleset)
        self._let_go(chunk, last, ruleset)
        return last, (len(self._new) if last == self._last else cursor.start)

    def _ruleset(self, chunk: int) -> int:
        """The ruleset in which the old chunk begins; at the end of the file, and at its head, none is open."""
        return self._places.rulesets[chunk - 1] if 0 < chunk < len(self._places.rulesets) + 1 else self._home

    def _agreeing(self, chunk: int, at: int) -> int | None:
        """The next chunk, with a statement, that stands in the new text at `at`."""
        for candidate in range(max(1, chunk), min(chunk + WINDOW, self._last)):
            if self._new.startswith(self._old[self._bounds[candidate] : self._bounds[candidate + 1]], at):
                return candidate
        return None

    def _statement(self, cursor: Cursor, ruleset: int) -> None:
        begin = cursor.start
        try:
            made = statement(cursor)
        except Mistake as mistake:
            self._report(mistake.start, mistake.end, mistake.message, mistake.hint)
            recover(cursor, begin)
            return
        if not isinstance(made, s.Rule | s.Test):
            raise Beyond
        self._read(made, ruleset)

    def _let_go(self, first: int, last: int, ruleset: int) -> None:
        places, first, last = self._places, max(0, first - 1), last - 1
        if FIXED in places.ranks[first:last] or any(number != ruleset for number in places.rulesets[first:last]):
            raise Beyond
