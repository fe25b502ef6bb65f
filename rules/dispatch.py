"""Generate the function that asks every table of an index.

The text is made of the templates below and of attribute paths from the host's vocabulary; what
operators wrote is bound as constants. `first` looks for the best-ranked rule that stops, and
skips tables that cannot hold a better one; rules that let the ruleset go on are kept aside.
`every` collects all matches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any  # facts of the host

from rules.breath import Breathe, at_once
from rules.core import Reading
from rules.index import Index, Table
from rules.layers import Layers
from rules.mismatch import Watch
from rules.residual import NAMESPACE, Names, reading_source
from rules.tables import Affixes, Patterns, Thresholds, Words

NEVER = 1 << 62
# The rank that stops (or NEVER), alone or followed by those that let the ruleset go on.
Matched = int | tuple[int, ...]
# Up to this many words of one field are looked for one by one: an automaton costs about 1 µs.
FEW_WORDS = 6
_ORDER = ("equal", "member", "starts", "ends", "number", "word", "pattern", "always")
Found = Callable[[Any, float], Any]
_UNWATCHED = Watch()

_SCAN_FIRST = """for rank, test, stops in {bucket}:
  if rank > best: break
  if test is None or test(f, m):
    if stops:
      best = rank
      break
    passed.append(rank)
"""
_SCAN_EVERY = """for rank, test, stops in {bucket}:
  if test is None or test(f, m): passed.append(rank)
"""


class Source:
    """Source text under construction: lines, constants, and the readings held in variables."""

    def __init__(self, *, every: bool, breathe: Breathe) -> None:
        self.every, self.breathe = every, breathe
        self.names = Names()
        self.lines: list[str] = []
        self.held: dict[str, str] = {}
        self._variables = 0

    def constant(self, value: Any) -> str:
        return self.names.constant(value)

    def add(self, text: str, depth: int) -> None:
        pad = "  " * depth
        self.lines.extend(pad + line for line in text.splitlines())

    def scan(self, bucket: str, depth: int) -> None:
        self.add((_SCAN_EVERY if self.every else _SCAN_FIRST).format(bucket=bucket), depth)

    def hold(self, reading: Reading, depth: int) -> str:
        """The variable that holds a reading; read here unless it already is."""
        if reading.key not in self.held:
            name = f"x{self._variables}"
            self._variables += 1
            self.add(f"{name} = {reading_source(reading, self.names)}", depth)
            if depth > 1:
                return name
            self.held[reading.key] = name
        return self.held[reading.key]

    def search(self, by_key: Layers[Any, Any], key: str, depth: int) -> None:
        """Scan the bucket under `key`, if there is one."""
        below = f"{self.constant(by_key.base.get)}({key})"
        if by_key.over:
            above = self.constant(by_key.over.get)
            self.add(f"found = {above}({key})\nif found is None: found = {below}", depth)
        else:
            self.add(f"found = {below}", depth)
        self.add("if found is not None:", depth)
        self.scan("found", depth + 1)


def compiled(
    index: Index,
    *,
    every: bool,
    finish: Callable[..., Any],
    ready: Mapping[Matched, Any] = {},
    watch: Watch = _UNWATCHED,
    breathe: Breathe = at_once,
) -> Found:
    """The dispatcher. `finish(facts, matched)` makes the answer, of all ranks that match or of the best one that
    stops and those before it. `ready` has answers that need no making, unless `watch` finds the facts unsound."""
    source = Source(every=every, breathe=breathe)
    tables = sorted(index.tables.values(), key=lambda table: _ORDER.index(table.kind))
    tables = [table for table in tables if len(table.buckets.by_key)]
    for table in tables:
        if table.kind == "equal":
            for reading in table.readings:
                source.hold(reading, 1)
    for table in tables:
        _table(source, table)
    return _function(source, finish, ready, watch)


def _function(source: Source, finish: Callable[..., Any], ready: Mapping[Matched, Any], watch: Watch) -> Found:
    head = [f"  best = {NEVER}", "  passed = []"]
    tail = ["  return finish(f, passed)"]
    if not source.every:
        tail = [
            "  matched = (best, *passed) if passed else best",
            f"  if {_soundness(source, watch)}:",
            "    answer = ready(matched)",
            "    if answer is not None: return answer",
            "  return finish(f, matched)",
        ]
    params = ", ".join(f"K{number}" for number in range(len(source.names.constants)))
    text = "\n".join(
        [f"def make(finish, ready, {params}):", " def find(f, m):", *head, *source.lines, *tail, " return find"]
    )
    scope: dict[str, Any] = dict(NAMESPACE)
    exec(_code(text), scope)
    # Taken out of its own globals: a ring would outlive its ruleset, as what was built is frozen for the collector.
    made: Found = scope.pop("make")(finish, ready.get, *source.names.constants)
    return made


def _soundness(source: Source, watch: Watch) -> str:
    """An expression that is true if no dynamic field holds another type than the rules want."""
    tests = [
        f"{source.constant(root.sound)}({reading_source(whole, source.names)})" for whole, root in watch.fields.values()
    ]
    return " and ".join(tests) or "True"


@lru_cache(maxsize=8)
def _code(text: str) -> CodeType:
    """The code of a dispatcher; an edit seldom changes its text, and to compile it takes 5 ms."""
    return compile(text, "<rule index>", "exec")


def _table(source: Source, table: Table) -> None:
    depth = 1
    if not source.every:
        source.add(f"if best > {table.buckets.least}:", 1)
        depth = 2
    if table.kind == "always":
        source.scan(source.constant(table.buckets.by_key.get(None)), depth)
    elif table.kind == "equal":
        _equal(source, table, depth)
    else:
        _other(source, table, depth)


def _equal(source: Source, table: Table, depth: int) -> None:
    held = [source.hold(reading, depth) for reading in table.readings]
    source.search(table.buckets.by_key, _composite(held), depth)


def _other(source: Source, table: Table, depth: int) -> None:
    reading = table.readings[0]
    held = source.hold(reading, depth)
    if not (reading.field.always and reading.field.exact and not reading.keys):
        source.add(f"if {held} is not None:", depth)
        depth += 1
    buckets = table.buckets
    if isinstance(buckets, Affixes):
        for length in sorted(buckets.lengths):
            cut = f"[:{length}]" if table.kind == "starts" else f"[-{length}:]"
            source.search(buckets.by_key, held + cut, depth)
    elif isinstance(buckets, Words):
        _words(source, buckets, held, reading, depth)
    elif isinstance(buckets, Patterns):
        source.add(f"for key in {source.constant(buckets.finder(source.breathe))}({held}):", depth)
        source.search(buckets.by_key, "key", depth + 1)
    elif isinstance(buckets, Thresholds):
        _thresholds(source, buckets, held, table, depth)
    else:
        source.add(f"for text in {held}:", depth)
        source.search(buckets.by_key, "text", depth + 1)


def _words(source: Source, buckets: Words, held: str, reading: Reading, depth: int) -> None:
    if reading.wanted == "text or list":
        found = source.constant(words_or_members(buckets, source.breathe))
        source.add(f"for found in {found}({held}):", depth)
        source.scan("found", depth + 1)
    elif len(buckets.by_key) <= FEW_WORDS:
        for word, bucket in buckets.by_key.items():
            source.add(f"if {source.constant(word)} in {held}:", depth)
            source.scan(source.constant(bucket), depth + 1)
    else:
        for automaton in buckets.automata(source.breathe):
            # A word may occur often; the set makes a text of one word repeated no dearer.
            walk = source.constant(automaton.iter)
            source.add(f"for word in {{word for _, word in {walk}({held})}}:", depth)
            source.search(buckets.by_key, "word", depth + 1)


def _thresholds(source: Source, buckets: Thresholds, held: str, table: Table, depth: int) -> None:
    ladders = buckets.ladders(table.operator, source.breathe)
    if len(table.readings) == 1:
        source.add(f"ladder = {source.constant(ladders[None])}", depth)
    else:
        key = _composite([source.hold(reading, depth) for reading in table.readings[1:]])
        source.add(f"ladder = {source.constant(ladders.get)}({key})\nif ladder is not None:", depth)
        depth += 1
    if source.every:
        source.add(f"for found in ladder.all({held}):", depth)
    else:
        source.add(f"rank = ladder.best({held})", depth)
        source.add("if rank is not None and rank < best: best = rank", depth)
        source.add(f"for found in ladder.tested({held}):", depth)
    source.scan("found", depth + 1)


def _composite(held: list[str]) -> str:
    return held[0] if len(held) == 1 else f"({', '.join(held)})"


def words_or_members(buckets: Words, breathe: Breathe) -> Callable[[Any], list[Any]]:
    """For a value that may be a text or a list: the buckets of the words in it."""
    automata, by_key = buckets.automata(breathe), buckets.by_key
    get = by_key.get if by_key.over else by_key.base.get

    def find(value: Any) -> list[Any]:
        if value.__class__ is tuple:
            return [bucket for text in set(value) if (bucket := get(text)) is not None]
        words = {word for automaton in automata for _, word in automaton.iter(value)}
        return [bucket for word in words if (bucket := get(word)) is not None]

    return find
