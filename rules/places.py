"""Where the rules of a file stand, so that an edit of it costs what was edited.

A rule's place is kept as it was when the rule was read, together with the block it was read in: up to
BLOCK neighbours that have moved by the same number of characters and lines ever since. Text put in
above them changes one entry for each block, and no rule.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

import msgspec

from rules.breath import Breathe
from rules.decision import Ready, RuleRef
from rules.layers import Layers

# An edit reads or moves so many rules one by one; a file of 100,000 has 400 blocks.
BLOCK = 256
# Rules that moved are put together anew whenever they are asked for; so many are remembered.
REMEMBERED = 4096
# In the place of a rank: a statement that comes and goes like a rule (TEST, DISABLED), and one that concerns others
# (LET, RULESET, END, OTHERWISE).
LOOSE, FIXED = -1, -2
Move = tuple[int, int]  # characters and lines
STILL: Move = (0, 0)
_GONE = Ready(RuleRef("", "", "", 0, 0, 0), ())


class Run(msgspec.Struct, frozen=True, gc=False):
    """So many statements, one after the other in their file, of one block."""

    block: int
    size: int


class Places:
    """The statements of one file in its order, as columns: 100,000 objects would be copied with every edit.

    Of places that are to be filled only `tests` and `runs` may be read before `settled`.
    `rulesets` are numbers in the order of the ruleset's engines, `tests` the places of TEST blocks,
    `runs` the blocks that the statements belong to.
    """

    __slots__ = ("_fill", "ranks", "rulesets", "runs", "starts", "tests")

    def __init__(self, fill: Callable[[Places], None] | None = None) -> None:
        self._fill = fill
        self.starts, self.ranks, self.tests = array("q"), array("q"), array("q")
        self.rulesets = array("H")
        self.runs: list[Run] = []

    def settled(self) -> Places:
        """These places, with the columns filled."""
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill(self)
        return self

    def add(self, start: int, ruleset: int, rank: int) -> None:
        """Add the next statement of the file."""
        self.starts.append(start)
        self.rulesets.append(ruleset)
        self.ranks.append(rank)

    def extend(self, other: Places, first: int, last: int, shift: int) -> None:
        """Add statements `first` to `last` (not included) of `other`, `shift` characters on."""
        starts = other.starts[first:last]
        self.starts.extend(array("q", map(shift.__add__, starts)) if shift else starts)
        self.rulesets.extend(other.rulesets[first:last])
        self.ranks.extend(other.ranks[first:last])


class Ranked:
    """The rules of one ruleset by rank, each where it stands now. Iterates over the ranks in order."""

    __slots__ = ("_layers", "_moves", "_remembered", "ranks")

    def __init__(self) -> None:
        self._layers: Layers[int, Ready] = Layers(_GONE)
        self._moves: dict[int, Move] = {}
        self._remembered: dict[int, Ready] = {}
        self.ranks = array("q")

    def __len__(self) -> int:
        return len(self.ranks)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ranks)

    def __getitem__(self, rank: int) -> Ready:
        ready = self._layers.get(rank)
        if ready is None:
            raise KeyError(rank)
        move = self._moves.get(ready.block, STILL)
        return ready if move == STILL else self._moved(rank, ready, move)

    def values(self) -> Iterator[Ready]:
        return (self[rank] for rank in self.ranks)

    def put(self, rank: int, ready: Ready) -> None:
        """Set the rule of a rank that is already among `ranks`."""
        self._layers.put(rank, ready)

    def add(self, rank: int, ready: Ready) -> None:
        """Add a rule."""
        if self.ranks and rank < self.ranks[-1]:
            insort(self.ranks, rank)
        else:
            self.ranks.append(rank)
        self._layers.put(rank, ready)

    def drop(self, rank: int) -> None:
        """Take a rule out."""
        del self.ranks[bisect_left(self.ranks, rank)]
        self._layers.drop(rank)

    def copy(self, moves: dict[int, Move]) -> Ranked:
        """A copy that can be changed; `moves` tells how far each block has moved."""
        made = Ranked()
        made._layers, made._moves, made.ranks = self._layers.copy(), moves, self.ranks[:]
        return made

    def succeeds(self, other: Ranked) -> bool:
        """Whether this is a changed copy of `other`."""
        return self._layers.base is other._layers.base

    def settle(self, breathe: Breathe) -> None:
        self._layers.settle(breathe)

    def clear(self, breathe: Breathe) -> None:
        self._layers.clear(breathe)
        del self.ranks[:]

    def _moved(self, rank: int, ready: Ready, move: Move) -> Ready:
        made = self._remembered.get(rank)
        if made is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            made = self._remembered[rank] = moved(ready, move)
        return made


def moved(ready: Ready, move: Move, block: int = 0) -> Ready:
    """A rule so many characters and lines further on, in `block` if it gets a new one."""
    shift, lines = move
    ref = ready.ref
    line = ref.line + lines
    name = ref.name if ref.named else f"{ref.file}:{line}"
    start, end = ref.start + shift, ref.end + shift
    there = RuleRef(ref.ruleset, name, ref.file, line, start, end, ref.priority, ref.shadow, ref.stops, ref.named)
    return Ready(there, ready.calls, block or ready.block)
