"""The tables of the index: each finds, for one value, the buckets of rules it lets in.

An entry is (rank, test or None, stops); a bucket is a sequence of entries in rank order. Tables
are filled once and then shared: `copy` makes one that can be changed without touching the
first, at the price of the change, and what is costly to build is kept in shards, so that a change rebuilds a small one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Self  # keys of every type, pyahocorasick and google-re2 objects

from rules.breath import Breathe, at_once, empty
from rules.layers import Layers
from rules.matchers import pattern_search, word_automaton

Entry = tuple[int, Any, bool]
Bucket = Sequence[Entry]
_rank = itemgetter(0)

# An automaton of 20,000 words holds the interpreter for 36 ms while it is built; this many, 3 ms.
SHARD_WORDS = 1500
SHARD_PATTERNS = 250
# RE2's default of 8 MB makes a set of many patterns throw its states away again and again.
SET_MEMORY = 64 * 1024 * 1024


class Buckets:
    """Entries by key. `put` and `drop` keep buckets in rank order."""

    __slots__ = ("by_key", "least")

    def __init__(self) -> None:
        # No entry has a better rank than this; after a drop it may be lower than need be.
        self.least = 1 << 62
        self.by_key: Layers[Any, Bucket] = Layers(())

    def put(self, key: Any, entry: Entry) -> bool:
        """Add an entry; whether the key is new."""
        self.least = min(self.least, entry[0])
        old = self.by_key.get(key)
        if old is None:
            return self.by_key.put(key, (entry,))
        if old.__class__ is list and not self.by_key.shared:
            insort(old, entry, key=_rank) if old[-1][0] > entry[0] else old.append(entry)
        else:
            new = list(old)
            insort(new, entry, key=_rank)
            self.by_key.put(key, new)
        return False

    def drop(self, key: Any, rank: int) -> bool:
        """Take out the entries of `rank` under `key`, if there are any; whether the key is gone with them."""
        old = self.by_key.get(key)
        if old is None:
            return False
        left = [entry for entry in old if entry[0] != rank]
        if left:
            self.by_key.put(key, left)
        else:
            self.by_key.drop(key)
        return not left

    def size(self, key: Any) -> int:
        return len(self.by_key.get(key) or ())

    def settle(self, breathe: Breathe) -> None:
        """Write what was changed since the copy into the table that the original shares."""
        self.by_key.settle(breathe)

    def clear(self, breathe: Breathe) -> None:
        """Let go of everything, piece by piece."""
        self.by_key.clear(breathe)

    def copy(self) -> Self:
        made = type(self)()
        made.by_key, made.least = self.by_key.copy(), self.least
        return made


class Affixes(Buckets):
    """Prefixes or suffixes; `lengths` counts those of each length.

    All lengths share one table: a shorter text than the cut may find its bucket twice, which says the same.
    """

    __slots__ = ("lengths",)

    def __init__(self) -> None:
        super().__init__()
        self.lengths: Counter[int] = Counter()

    def put(self, key: Any, entry: Entry) -> bool:
        new = super().put(key, entry)
        self.lengths[len(key)] += new
        return new

    def drop(self, key: Any, rank: int) -> bool:
        gone = super().drop(key, rank)
        self.lengths[len(key)] -= gone
        return gone

    def copy(self) -> Self:
        made = super().copy()
        made.lengths = +self.lengths
        return made


class Sharded(Buckets):
    """Texts that a search for all of them at once is built of: in shards, of which a change rebuilds the last."""

    __slots__ = ("_fresh", "_shards")

    def __init__(self) -> None:
        super().__init__()
        self._shards: list[tuple[list[str], Any]] = []
        self._fresh: list[str] = []

    def put(self, key: Any, entry: Entry) -> bool:
        new = super().put(key, entry)
        if new:
            self._fresh.append(key)
        return new

    def clear(self, breathe: Breathe) -> None:
        super().clear(breathe)
        while self._shards:
            self._shards.pop()
            breathe()

    def copy(self) -> Self:
        made = super().copy()
        made._shards, made._fresh = list(self._shards), list(self._fresh)
        return made

    def searches(
        self, build: Callable[[list[str]], Any], holds: Callable[[Any, str], bool], most: int, breathe: Breathe
    ) -> list[Any]:
        """What `build` makes of each shard of at most `most` texts; new ones join the last while it has room.

        A text whose rules are gone stays until its shard is rebuilt, and finds an empty bucket. `holds` says
        whether a search knows a text already.
        """
        fresh = [text for text in self._fresh if not any(holds(shard, text) for shard in self._shards)]
        if fresh:
            roomy = bool(self._shards) and len(self._shards[-1][0]) < most
            tail = [text for text in self._shards.pop()[0] if self.by_key.get(text)] if roomy else []
            texts = list(dict.fromkeys([*tail, *fresh]))
            for first in range(0, len(texts), most):
                shard = texts[first : first + most]
                self._shards.append((shard, build(shard)))
                breathe()
        self._fresh = []
        return [search for _, search in self._shards]


class Words(Sharded):
    """Words found anywhere in a text, by Aho-Corasick automata of at most SHARD_WORDS words."""

    __slots__ = ()

    def automata(self, breathe: Breathe = at_once) -> list[Any]:
        """The automata."""
        return self.searches(word_automaton, lambda shard, word: bool(shard[1].exists(word)), SHARD_WORDS, breathe)


class Patterns(Sharded):
    """Regular expressions without a literal, in RE2 sets of at most SHARD_PATTERNS."""

    __slots__ = ()

    def finder(self, breathe: Breathe = at_once) -> Callable[[str], Iterable[str]]:
        """A function from a text to the patterns found in it."""
        finders = self.searches(pattern_set, lambda shard, pattern: pattern in shard[0], SHARD_PATTERNS, breathe)
        if len(finders) == 1:
            only: Callable[[str], Iterable[str]] = finders[0]
            return only
        return lambda text: [pattern for finder in finders for pattern in finder(text)]


class Thresholds(Buckets):
    """Numbers a value is compared with, keyed by threshold and equality key: all entries below
    one equality key make one `Ladder`."""

    __slots__ = ("_changed", "_ladders")

    def __init__(self) -> None:
        super().__init__()
        self._ladders: dict[Any, Ladder] = {}
        self._changed: set[Any] = set()

    def put(self, key: Any, entry: Entry) -> bool:
        self._changed.add(key[1])
        return super().put(key, entry)

    def drop(self, key: Any, rank: int) -> bool:
        self._changed.add(key[1])
        return super().drop(key, rank)

    def clear(self, breathe: Breathe) -> None:
        super().clear(breathe)
        empty(self._ladders, breathe)

    def copy(self) -> Self:
        made = super().copy()
        made._ladders, made._changed = dict(self._ladders), set(self._changed)
        return made

    def ladders(self, operator: str, breathe: Breathe = at_once) -> dict[Any, Ladder]:
        """The ladders by equality key (None where there is no such key)."""
        if self._changed:
            steps: dict[Any, dict[Any, Bucket]] = {key: {} for key in self._changed}
            for (threshold, key), bucket in self.by_key.items():
                if key in steps:
                    steps[key][threshold] = bucket
                breathe()
            for key, rungs in steps.items():
                self._ladders[key] = Ladder(operator, rungs, breathe)
            self._changed = set()
        return self._ladders


class Ladder:
    """Thresholds in order. For a value, the entries on its side are one slice.

    Entries that need no further test and stop are told apart: of them only the best rank below
    each threshold counts, so the first match is one lookup however many thresholds there are.
    """

    __slots__ = ("_buckets", "_from_right", "_steps", "_take_above", "_tested", "_untested")

    def __init__(self, operator: str, by_key: dict[Any, Bucket], breathe: Breathe = at_once) -> None:
        self._take_above = operator in ("<", "<=")
        self._from_right = operator in (">=", "<")
        self._steps = sorted(by_key)
        self._buckets = [by_key[step] for step in self._steps]
        self._tested: list[list[Entry]] = []
        self._untested: list[int | None] = []
        for step in self._steps:
            plain = [entry[0] for entry in by_key[step] if entry[1] is None and entry[2]]
            self._tested.append([entry for entry in by_key[step] if entry[1] is not None or not entry[2]])
            self._untested.append(min(plain, default=None))
            breathe()
        self._run_best()

    def _run_best(self) -> None:
        order = range(len(self._steps))
        best: int | None = None
        for position in reversed(order) if self._take_above else order:
            own = self._untested[position]
            best = own if best is None or (own is not None and own < best) else best
            self._untested[position] = best

    def place(self, value: float) -> int:
        cut = bisect_right if self._from_right else bisect_left
        return cut(self._steps, value)

    def best(self, value: float) -> int | None:
        """The best rank among the passed entries that need no test."""
        place = self.place(value)
        if self._take_above:
            return self._untested[place] if place < len(self._steps) else None
        return self._untested[place - 1] if place else None

    def tested(self, value: float) -> list[list[Entry]]:
        """The passed entries that need a test, or do not stop."""
        place = self.place(value)
        return self._tested[place:] if self._take_above else self._tested[:place]

    def all(self, value: float) -> list[Bucket]:
        """All passed entries."""
        place = self.place(value)
        return self._buckets[place:] if self._take_above else self._buckets[:place]


def pattern_set(patterns: list[str]) -> Callable[[str], list[str]]:
    """A function from a text to those of `patterns` found in it, in one pass over the text."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = SET_MEMORY
    together = re2.Set.SearchSet(options)
    for pattern in patterns:
        together.Add(pattern)
    # Out of memory, a set answers "nothing matches". The empty pattern always matches, so its
    # absence tells the two apart, and the patterns are then tried one by one.
    witness = len(patterns)
    together.Add("")
    try:
        together.Compile()
    except re2.error:  # large ones that are too much for one set
        return _in_two_sets(patterns)
    match = together.Match

    def find(text: str) -> list[str]:
        try:
            found = match(text)
        except UnicodeEncodeError:
            found = match(text.encode("utf-8", "replace").decode())
        if witness not in found:
            return [pattern for pattern in patterns if pattern_search(pattern)(text)]
        return [patterns[number] for number in found if number != witness]

    return find


def _in_two_sets(patterns: list[str]) -> Callable[[str], list[str]]:
    half = len(patterns) // 2
    if not half:
        return lambda text: [pattern for pattern in patterns if pattern_search(pattern)(text)]
    one, other = pattern_set(patterns[:half]), pattern_set(patterns[half:])
    return lambda text: [*one(text), *other(text)]
