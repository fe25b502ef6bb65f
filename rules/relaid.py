"""Lay out an edited file anew: which block each rule belongs to now, and how far each block has moved.

A block through which an edit goes is split: its rules on one side keep it, those on the other get a
new one and are put together anew, at most BLOCK of them.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

import msgspec

from rules.draft import Drafted, Mark
from rules.places import STILL, Move, Places, Run
from rules.sweep import Gone, Stretch


class Came(msgspec.Struct):
    """A rule that was read anew, with the number and name of its ruleset; it gets its rank last."""

    number: int
    ruleset: str
    drafted: Drafted
    rank: int = 0


class Noted(NamedTuple):
    """A TEST or a DISABLED rule that was read anew, with the number of its ruleset."""

    number: int
    mark: Mark


class Anew(NamedTuple):
    """A rule that stayed and gets another block: it moved so far in this edit."""

    number: int
    rank: int
    move: Move
    block: int


Part = Stretch | Gone | Came | Noted


class Relaid:
    """One edited file. `blocks` tells how far each block of it has moved in all, `anew` which rules changed theirs.

    `before` holds the moves until now, `last` is the last block that has a number.
    """

    def __init__(self, places: Places, parts: list[Part], before: dict[int, Move], last: int) -> None:
        self._places, self._parts, self._before = places, parts, before
        self._ends = list(accumulate(run.size for run in places.runs))
        self._runs: list[Run] = []
        self.blocks: dict[int, Move] = {}
        self.anew: list[Anew] = []
        self.last = last
        for part in parts:
            if isinstance(part, Stretch):
                self._stretch(part)
            elif isinstance(part, Came):
                self._run(part.drafted.ready.block, 1)
            elif isinstance(part, Noted):
                self._run(part.mark.block, 1)

    def _stretch(self, part: Stretch) -> None:
        at, run = part.first, bisect_right(self._ends, part.first)
        while at < part.last:
            end = min(self._ends[run], part.last)
            self._piece(self._places.runs[run].block, at, end, (part.shift, part.lines))
            at, run = end, run + 1

    def _piece(self, block: int, first: int, end: int, step: Move) -> None:
        before = self._before.get(block, STILL)
        move = (before[0] + step[0], before[1] + step[1])
        if self.blocks.setdefault(block, move) != move:
            self.last += 1
            block = self.last
            places = self._places
            for number, rank in zip(places.rulesets[first:end], places.ranks[first:end], strict=True):
                if rank > 0:
                    self.anew.append(Anew(number, rank, step, block))
        self._run(block, end - first)

    def _run(self, block: int, count: int) -> None:
        if self._runs and self._runs[-1].block == block:
            count += self._runs.pop().size
        self._runs.append(Run(block, count))

    def moved(self, offset: int) -> Move | None:
        """How far the text at an old offset has moved; None if it was read anew."""
        for part in self._parts:
            if isinstance(part, Stretch) and part.begin <= offset < part.end:
                return (part.shift, part.lines)
        return None

    def places(self, tests: list[int]) -> Places:
        """The new places, once every rule that came has its rank; `tests` are the TEST blocks that were read.

        Their columns are filled when they are first asked for: the next edit needs them, this one does not.
        """
        old = self._places.settled()
        for part in self._parts:
            if isinstance(part, Stretch):
                tests = tests + [at + part.shift for at in old.tests if part.begin <= at < part.end]
        made = Places(self._fill)
        made.tests.extend(sorted(tests))
        made.runs = self._runs
        return made

    def _fill(self, made: Places) -> None:
        for part in self._parts:
            if isinstance(part, Stretch):
                made.extend(self._places, part.first, part.last, part.shift)
            elif isinstance(part, Came):
                made.add(part.drafted.ready.ref.start, part.number, part.rank)
            elif isinstance(part, Noted):
                made.add(part.mark.start, part.number, part.mark.rank)


def gone(places: Places, parts: list[Part]) -> list[tuple[int, int]]:
    """The rules that are no more or were read anew, by number of ruleset and rank."""
    return [
        (number, rank)
        for part in parts
        if isinstance(part, Gone)
        for number, rank in zip(
            places.rulesets[part.first : part.last], places.ranks[part.first : part.last], strict=True
        )
        if rank > 0
    ]
