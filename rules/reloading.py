"""Make the ruleset of edited files out of the one that serves, at the price of the edit.

The texts are compared stretch by stretch; only what lies between equal stretches is parsed and
checked, and a copy of the index that shares all its tables has those rules dropped and added.
What reaches beyond single rules (a LET, a RULESET line, OTHERWISE, a list, a new file, another
vocabulary) loads everything anew. The old ruleset is never touched: swap the reference.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping

import msgspec

from rules import syntax as s
from rules.cursor import Cursor, Mistake
from rules.decision import Ready, RuleRef
from rules.engine import Engine
from rules.errors import Rejected, Unavailable
from rules.index import Planned
from rules.load import RANK_STEP, Draft, Drafted, Load, load
from rules.parser import statement
from rules.reread import Reader
from rules.ruleset import Placed, Ruleset
from rules.vocabulary import Scope, Vocabulary

# After an edit this many of the old rules are looked at for the place where the texts agree again.
WINDOW = 64


class Reloaded(msgspec.Struct, frozen=True):
    """The new ruleset and what became of the rules. A renamed rule is one removed and one added."""

    ruleset: Ruleset
    added: tuple[RuleRef, ...]
    removed: tuple[RuleRef, ...]
    changed: tuple[RuleRef, ...]


class _Beyond(Exception):
    """The edit reaches beyond single rules."""


def reload(
    old: Ruleset,
    files: Mapping[str, str | bytes],
    vocabulary: Vocabulary | None = None,
    *,
    breathe: Callable[[], None] = lambda: None,
) -> Reloaded | Rejected:
    """The ruleset of `files` and how it differs from `old`, or every problem found; `breathe` as for `load`."""
    known = vocabulary is None or vocabulary == old.vocabulary
    try:
        if known and _lists_stand(old):
            return _Patch(old).run(files)
    except _Beyond:
        pass
    made = load(files, vocabulary or old.vocabulary, old.loader, breathe=breathe)
    return made if isinstance(made, Rejected) else _compared(old, made)


def _lists_stand(old: Ruleset) -> bool:
    try:
        return all(old.loader.lines(name) == lines for name, lines in old.lists.items())
    except Unavailable:
        return False


class _Patch:
    """One edit: collects dropped and added rules, then builds the engines they touch."""

    def __init__(self, old: Ruleset) -> None:
        self._old = old
        self._load = Load(old.vocabulary, old.loader, dict(old.lets))
        self._load.checker.lists.update(old.lists)
        self._dropped: list[Placed] = []
        self._added: list[tuple[str, Drafted]] = []
        self._moved: list[tuple[list[Placed], int, int]] = []
        self._places: dict[str, list[Placed]] = {}

    def run(self, files: Mapping[str, str | bytes]) -> Reloaded | Rejected:
        sources = {name: self._load.decode(name, files[name]) for name in sorted(files)}
        texts = {name: text for name, text in sources.items() if text is not None}
        if self._load.problems:
            return Rejected(tuple(self._load.problems))
        if texts.keys() != self._old.sources.keys():
            raise _Beyond
        for name, text in texts.items():
            if text != self._old.sources[name]:
                self._load.enter(name, text)
                self._sweep(name, self._old.sources[name], text)
        if self._load.problems:
            return Rejected(tuple(self._load.problems))
        return self._finished(texts)

    def _sweep(self, name: str, old: str, new: str) -> None:
        """Walk both texts: over equal stretches in leaps, through the rest statement by statement."""
        places = self._old.places.get(name, [])
        bounds = [0, *[place.start for place in places], len(old)]
        stays = self._places[name] = []
        chunk, at, lines = 0, 0, 0
        while chunk < len(bounds) - 1:
            equal = _equal_chunks(old, new, bounds, chunk, at)
            # The rule before an edit may go on in it (CONTINUE), so it is read again.
            keep = equal if chunk + equal == len(bounds) - 1 else max(0, equal - 1)
            kept = places[max(0, chunk - 1) : chunk + keep - 1] if keep else []
            if lines or at != bounds[chunk]:
                shift = at - bounds[chunk]
                kept = [Placed(p.start + shift, p.ruleset, p.rank) for p in kept]
                self._moved.append((kept, shift, lines))
            stays.extend(kept)
            at += bounds[chunk + keep] - bounds[chunk]
            chunk += keep
            if chunk < len(bounds) - 1:
                begin, begun = chunk, at
                chunk, at = self._differing(name, old, new, bounds, chunk, at)
                lines += new.count("\n", begun, at) - old.count("\n", bounds[begin], bounds[chunk])
        if at != len(new):
            raise _Beyond

    def _differing(self, name: str, old: str, new: str, bounds: list[int], chunk: int, at: int) -> tuple[int, int]:
        """Read new statements until the texts agree again; then where they do."""
        places = self._old.places.get(name, [])
        ruleset = places[chunk - 1].ruleset if chunk else _ruleset_before(places)
        first, last = chunk, chunk + 1
        cursor = Cursor(new, at)
        draft = self._draft(ruleset)
        while True:
            if cursor.kind == "end":
                last = len(bounds) - 1
                break
            found = _agreeing(old, new, bounds, last, cursor.start)
            if found is not None and places[found - 1].ruleset == ruleset:
                last = found
                break
            self._read(cursor, draft)
        self._gone(name, old, bounds, first, last, ruleset)
        return last, (len(new) if last == len(bounds) - 1 else cursor.start)

    def _draft(self, name: str) -> Draft:
        scope = self._old.vocabulary.scopes.get(name) or Scope({}, {})
        draft = Draft(name, scope)
        draft.mode = self._old.engines[name].mode if name in self._old.engines else ""
        return draft

    def _read(self, cursor: Cursor, draft: Draft) -> None:
        begin = cursor.start
        try:
            made = statement(cursor)
        except Mistake:
            raise _Beyond from None  # a full load finds every problem, not only those of this stretch
        if isinstance(made, s.Rule):
            self._load.rule(made, draft)
            self._added.extend((draft.name, drafted) for drafted in draft.rules)
            draft.rules.clear()
        elif not isinstance(made, s.Test):
            raise _Beyond
        assert cursor.start > begin or cursor.kind == "end"

    def _gone(self, name: str, old: str, bounds: list[int], first: int, last: int, ruleset: str) -> None:
        cursor = Cursor(old, bounds[first], bounds[last])
        while cursor.kind != "end":
            if not isinstance(statement(cursor), (s.Rule, s.Test)):
                raise _Beyond
        gone = self._old.places.get(name, [])[max(0, first - 1) : last - 1]
        if any(place.ruleset != ruleset for place in gone):
            raise _Beyond
        self._dropped.extend(gone)

    def _finished(self, texts: dict[str, str]) -> Reloaded | Rejected:
        names = self._old.names.copy()
        for place in self._dropped:
            names.discard((place.ruleset, self._old.engines[place.ruleset].rules[place.rank].ref.name))
        for ruleset, drafted in self._added:
            ref = drafted.ready.ref
            if ref.named and (ruleset, ref.name) in names:
                raise _Beyond  # a name used twice: the full load says where
            if ref.named:
                names.add((ruleset, ref.name))
        engines = dict(self._old.engines)
        touched = {place.ruleset for place in self._dropped} | {name for name, _ in self._added}
        for ruleset in touched | {place.ruleset for kept, _, _ in self._moved for place in kept}:
            engines[ruleset] = self._engine(ruleset)
        return self._reloaded(engines, texts, names)

    def _engine(self, ruleset: str) -> Engine:
        old = self._old.engines.get(ruleset)
        if old is None:
            raise _Beyond
        reader = Reader(self._old)
        rules, index, watch = dict(old.rules), old.index.copy(), old.watch.copy()
        for place in self._dropped:
            if place.ruleset == ruleset:
                ref = rules.pop(place.rank).ref
                index.drop(Planned(place.rank, reader.read(ref).condition, stops=True))
                watch.drop(place.rank)
        for kept, shift, lines in self._moved:
            for place in kept:
                if place.ruleset == ruleset:
                    rules[place.rank] = _shifted(rules[place.rank], shift, lines)
        ranks = sorted(rules)
        for name, drafted in self._added:
            if name == ruleset:
                rank = _rank_for(drafted.ready.ref, ranks, rules)
                insort(ranks, rank)
                rules[rank] = drafted.ready
                ref = drafted.ready.ref
                index.add(Planned(rank, drafted.condition, ref.stops and not ref.shadow))
                watch.add(drafted.condition, rank)
                insort(self._places[ref.file], Placed(ref.start, ruleset, rank), key=_start)
        index.residuals.forget()
        return Engine(rules, index, old.otherwise, old.origin, watch, old.scope, old.mode)

    def _reloaded(self, engines: dict[str, Engine], texts: dict[str, str], names: set[tuple[str, str]]) -> Reloaded:
        places = self._old.places | self._places
        old = self._old
        lists = dict(self._load.checker.lists)
        made = Ruleset(engines, texts, old.lets, old.vocabulary, old.loader, places, names, lists)
        before = [old.engines[p.ruleset].rules[p.rank].ref for p in self._dropped]
        after = [drafted.ready.ref for _, drafted in self._added]
        return Reloaded(made, *_difference(old, before, made, after))


def _start(place: Placed) -> int:
    return place.start


def _equal_chunks(old: str, new: str, bounds: list[int], chunk: int, at: int) -> int:
    """How many chunks from `chunk` on stand in `new` at `at`; found by leaps that double."""
    shift = at - bounds[chunk]
    low, step = chunk, 1
    while low < len(bounds) - 1:
        high = min(low + step, len(bounds) - 1)
        if new.startswith(old[bounds[low] : bounds[high]], bounds[low] + shift):
            low, step = high, step * 2
        elif step == 1:
            break
        else:
            step = 1
    return low - chunk


def _agreeing(old: str, new: str, bounds: list[int], chunk: int, at: int) -> int | None:
    """The next chunk, with a rule, that stands in `new` at `at`."""
    for candidate in range(max(1, chunk), min(chunk + WINDOW, len(bounds) - 1)):
        if new.startswith(old[bounds[candidate] : bounds[candidate + 1]], at):
            return candidate
    return None


def _ruleset_before(places: list[Placed]) -> str:
    if not places:
        raise _Beyond
    return places[0].ruleset


def _shifted(ready: Ready, shift: int, lines: int) -> Ready:
    ref = ready.ref
    line = ref.line + lines
    moved = RuleRef(
        ref.ruleset,
        ref.name if ref.named else f"{ref.file}:{line}",
        ref.file,
        line,
        ref.start + shift,
        ref.end + shift,
        ref.priority,
        ref.shadow,
        ref.stops,
        ref.named,
    )
    return Ready(moved, ready.calls)


def _rank_for(ref: RuleRef, ranks: list[int], rules: dict[int, Ready]) -> int:
    """A free rank at the rule's place: by priority, file and position."""
    wanted = (-ref.priority, ref.file, ref.start)

    def order(rank: int) -> tuple[int, str, int]:
        other = rules[rank].ref
        return (-other.priority, other.file, other.start)

    place = bisect_left(ranks, wanted, key=order)
    before = ranks[place - 1] if place else 0
    after = ranks[place] if place < len(ranks) else before + 2 * RANK_STEP
    if after - before < 2:
        raise _Beyond  # no number left between the two; a full load spreads them out again
    return (before + after) // 2


def _compared(old: Ruleset, new: Ruleset) -> Reloaded:
    return Reloaded(new, *_difference(old, old.rules(), new, new.rules()))


def _difference(
    old: Ruleset, before: list[RuleRef], new: Ruleset, after: list[RuleRef]
) -> tuple[tuple[RuleRef, ...], tuple[RuleRef, ...], tuple[RuleRef, ...]]:
    """Added, removed and changed rules; those that only moved are none of these."""
    gone = {_identity(old, ref): ref for ref in before}
    come = {_identity(new, ref): ref for ref in after}
    added = tuple([ref for key, ref in come.items() if key not in gone])
    removed = tuple([ref for key, ref in gone.items() if key not in come])
    both = [(gone[key], ref) for key, ref in come.items() if key in gone]
    changed = tuple([ref for was, ref in both if _text(old, was) != _text(new, ref)])
    return added, removed, changed


def _identity(ruleset: Ruleset, ref: RuleRef) -> tuple[str, str]:
    return (ref.ruleset, f'"{ref.name}' if ref.named else _text(ruleset, ref))


def _text(ruleset: Ruleset, ref: RuleRef) -> str:
    return ruleset.sources[ref.file][ref.start : ref.end]
