"""Make the ruleset of edited files out of the one that serves, at the price of the edit.

The texts are compared stretch by stretch (`sweep.py`); only what lies between equal stretches is parsed
and checked, and a copy of the index that shares all its tables has those rules dropped and added.
A file that came holds new rules, one that went takes its rules along. What reaches beyond single
rules (a LET, a RULESET line, OTHERWISE, a list, a vocabulary that lost something) loads everything anew. The old
ruleset is never touched: swap the reference.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec.structs import replace

from rules import syntax as s
from rules.breath import Breathe, at_once
from rules.decision import RuleRef
from rules.draft import RANK_STEP, Draft
from rules.engine import Engine
from rules.errors import Rejected, Unavailable
from rules.index import Planned
from rules.load import Load, load
from rules.places import Move, Places, Ranked, moved
from rules.relaid import Came, Noted, Part, Relaid, gone
from rules.reread import Reader
from rules.ruleset import ROUTING, Blocks, Ruleset
from rules.sweep import Beyond, Sweep
from rules.vocabulary import Scope, Vocabulary


class Reloaded(msgspec.Struct, frozen=True):
    """The new ruleset and what became of the rules. A renamed rule is one removed and one added."""

    ruleset: Ruleset
    added: tuple[RuleRef, ...]
    removed: tuple[RuleRef, ...]
    changed: tuple[RuleRef, ...]


def reload(
    old: Ruleset,
    files: Mapping[str, str | bytes],
    vocabulary: Vocabulary | None = None,
    *,
    breathe: Breathe = at_once,
) -> Reloaded | Rejected:
    """The ruleset of `files` and how it differs from `old`, or every problem found; `breathe` as for `load`.

    `vocabulary` is the one to use from now on. A file that is known to be as it was is best given as the text in
    `old.sources`: it is not even compared.
    """
    words = vocabulary or old.vocabulary
    try:
        if _grew(old.vocabulary, words) and _lists_stand(old):
            return _Patch(old, words, breathe).run(files)
    except Beyond:
        pass
    made = load(files, words, old.loader, breathe=breathe)
    return made if isinstance(made, Rejected) else _compared(old, made, breathe)


def _grew(old: Vocabulary, new: Vocabulary) -> bool:
    """Whether what was right stays right, and means the same: names may have come, nothing else is different."""
    return old.scopes == new.scopes and all(
        names <= new.names.get(kind, frozenset()) for kind, names in old.names.items()
    )


def _lists_stand(old: Ruleset) -> bool:
    try:
        return all(old.loader.lines(name) == lines for name, lines in old.lists.items())
    except Unavailable:
        return False


_NO_PLACES = Places()


def _places(old: Ruleset, file: str) -> Places:
    return old.places.get(file, _NO_PLACES).settled()


class _Patch:
    """One edit: collects what stays, goes and comes in each edited file, then builds the engines."""

    def __init__(self, old: Ruleset, words: Vocabulary, breathe: Breathe) -> None:
        self._old, self._words, self._breathe = old, words, breathe
        self._load = Load(words, old.loader, dict(old.lets), block=old.blocks.last, breathe=breathe)
        self._load.checker.lists.update(old.lists)
        self._order = list(old.engines)
        self._parts: dict[str, list[Part]] = {}

    def run(self, files: Mapping[str, str | bytes]) -> Reloaded | Rejected:
        old, texts = self._old.sources, self._texts(files)
        if self._load.problems:
            return Rejected(tuple(self._load.problems))
        for name in sorted(texts.keys() | old.keys()):
            before, after = old.get(name, ""), texts.get(name, "")
            if before != after:
                self._breathe()
                self._sweep(name, before, after)
        change = _Change(self._old, self._parts)
        if self._load.problems:
            return Rejected(tuple(self._load.problems))
        return self._finished(texts, change)

    def _texts(self, files: Mapping[str, str | bytes]) -> dict[str, str]:
        texts = {}
        for name in sorted(files):
            known, content = self._old.sources.get(name), files[name]
            text = known if content is known else self._load.decode(name, content)
            if text is not None:
                texts[name] = text
        return texts

    def _sweep(self, name: str, old: str, new: str) -> None:
        if ROUTING not in self._order:
            raise Beyond
        places, home = _places(self._old, name), self._order.index(ROUTING)
        parts = self._parts[name] = []
        sweep = Sweep(old, new, places, home, partial(self._read, parts), self._load.report)
        self._load.guarded(name, new, partial(sweep.run, parts.append))

    def _read(self, parts: list[Part], made: s.Rule | s.Test, number: int) -> None:
        ruleset = self._order[number]
        draft = Draft(ruleset, self._words.scopes.get(ruleset) or Scope({}, {}))
        draft.mode = self._old.engines[ruleset].mode
        if isinstance(made, s.Test):
            parts.append(Noted(number, self._load.test(made, draft)))
            return
        if made.named and (ruleset, made.name) in self._load.names:
            raise Beyond  # a name used twice: the full load says where
        if mark := self._load.rule(made, draft):
            parts.append(Noted(number, mark))
        parts.extend(Came(number, ruleset, drafted) for drafted in draft.rules)

    def _finished(self, texts: dict[str, str], change: _Change) -> Reloaded:
        moves, last = self._old.blocks.moves.copy(), self._load.block
        edited: dict[str, Relaid] = {}
        for name, parts in self._parts.items():
            edited[name] = Relaid(_places(self._old, name), parts, self._old.blocks.moves, last)
            last = edited[name].last
            moves |= edited[name].blocks
        engines = _Build(self._old, change, edited, moves).engines() if edited else self._old.engines
        places = {name: self._old.places.get(name, _NO_PLACES) for name in texts}
        for name in edited.keys() & texts.keys():
            places[name] = edited[name].places(self._load.tests.get(name, []))
        old, lists = self._old, dict(self._load.checker.lists)
        blocks = Blocks(moves, last)
        made = Ruleset(engines, texts, old.lets, self._words, old.loader, places, change.names, lists, blocks)
        return Reloaded(made, *_difference(old, change.before, made, change.after))


class _Change:
    """The rules that go and come, and the names that are left. Raises `Beyond` when one is used twice."""

    def __init__(self, old: Ruleset, parts: dict[str, list[Part]]) -> None:
        order = list(old.engines)
        self.come = [part for each in parts.values() for part in each if isinstance(part, Came)]
        self.gone = [pair for name, each in parts.items() for pair in gone(_places(old, name), each)]
        self.before = [old.engines[order[number]].rules[rank].ref for number, rank in self.gone]
        self.after = [came.drafted.ready.ref for came in self.come]
        self.names = old.names.copy()
        for ref in self.before:
            self.names.drop((ref.ruleset, ref.name))
        for ref in self.after:
            if ref.named and not self.names.put((ref.ruleset, ref.name), 1):
                raise Beyond  # the full load says where


class _Build:
    """The engines of an edit."""

    def __init__(self, old: Ruleset, change: _Change, edited: dict[str, Relaid], moves: dict[int, Move]) -> None:
        self._old, self._change, self._edited, self._moves = old, change, edited, moves
        self._order = list(old.engines)

    def engines(self) -> dict[str, Engine]:
        return {ruleset: self._engine(number, ruleset) for number, ruleset in enumerate(self._order)}

    def _engine(self, number: int, ruleset: str) -> Engine:
        old, reader = self._old.engines[ruleset], Reader(self._old)
        rules, index, watch = old.rules.copy(self._moves), old.index.copy(), old.watch.copy()
        for rank in [rank for of, rank in self._change.gone if of == number]:
            index.drop(Planned(rank, reader.read(old.rules[rank].ref).condition, stops=True))
            watch.drop(rank)
            rules.drop(rank)
        for each in [each for file in self._edited.values() for each in file.anew if each.number == number]:
            rules.put(each.rank, moved(old.rules[each.rank], each.move, each.block))
        for came in [came for came in self._change.come if came.number == number]:
            ready, condition = came.drafted.ready, came.drafted.condition
            rank = came.rank = _rank_for(ready.ref, rules)
            rules.add(rank, ready)
            index.add(Planned(rank, condition, ready.ref.stops and not ready.ref.shadow))
            watch.add(condition, rank)
        index.residuals.forget()
        return Engine(rules, index, old.otherwise, self._origin(old.origin), watch, old.scope, old.mode)

    def _origin(self, ref: RuleRef | None) -> RuleRef | None:
        """Where OTHERWISE stands now; an edit that goes through it reaches beyond rules."""
        move = self._edited[ref.file].moved(ref.start) if ref is not None and ref.file in self._edited else None
        if ref is None or move is None:
            return ref
        return replace(ref, line=ref.line + move[1], start=ref.start + move[0], end=ref.end + move[0])


def _rank_for(ref: RuleRef, rules: Ranked) -> int:
    """A free rank at the rule's place: by priority, file and position."""
    wanted = (-ref.priority, ref.file, ref.start)

    def order(rank: int) -> tuple[int, str, int]:
        other = rules[rank].ref
        return (-other.priority, other.file, other.start)

    ranks = rules.ranks
    place = bisect_left(ranks, wanted, key=order)
    before = ranks[place - 1] if place else 0
    after = ranks[place] if place < len(ranks) else before + 2 * RANK_STEP
    if after - before < 2:
        raise Beyond  # no number left between the two; a full load spreads them out again
    return (before + after) // 2


def _compared(old: Ruleset, new: Ruleset, breathe: Breathe) -> Reloaded:
    return Reloaded(new, *_difference(old, old.rules(breathe), new, new.rules(breathe), breathe))


def _difference(
    old: Ruleset,
    before: list[RuleRef],
    new: Ruleset,
    after: list[RuleRef],
    breathe: Breathe = at_once,
) -> tuple[tuple[RuleRef, ...], tuple[RuleRef, ...], tuple[RuleRef, ...]]:
    """Added, removed and changed rules; those that only moved are none of these.

    A rule without a name is known by its text, and when that is another, by its place.
    """
    gone: dict[tuple[str, str], RuleRef] = {}
    for ref in before:
        gone[_identity(old, ref)] = ref
        breathe()
    added, changed = [], []
    for ref in after:
        was = gone.pop(_identity(new, ref), None)
        if was is None:
            added.append(ref)
        elif _text(old, was) != _text(new, ref):
            changed.append(ref)
        breathe()
    left = {(ref.ruleset, ref.name): key for key, ref in gone.items() if not ref.named}
    replaced = [ref for ref in added if not ref.named and (ref.ruleset, ref.name) in left]
    for ref in replaced:
        del gone[left[ref.ruleset, ref.name]]
    there = {(ref.ruleset, ref.name) for ref in replaced}
    fresh = [ref for ref in added if ref.named or (ref.ruleset, ref.name) not in there]
    return tuple(fresh), tuple(gone.values()), (*changed, *replaced)


def _identity(ruleset: Ruleset, ref: RuleRef) -> tuple[str, str]:
    return (ref.ruleset, f'"{ref.name}' if ref.named else _text(ruleset, ref))


def _text(ruleset: Ruleset, ref: RuleRef) -> str:
    return ruleset.sources[ref.file][ref.start : ref.end]
