"""Rules on their way from text to engine: checked one by one, then ranked and indexed together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from rules import core
from rules.breath import Breathe, in_order
from rules.decision import Ready, RuleRef
from rules.engine import Engine
from rules.index import Index, Planned
from rules.mismatch import Watch
from rules.places import Places, Ranked, Run
from rules.vocabulary import Scope

# Room between two ranks for rules that a reload puts there.
RANK_STEP = 1 << 20


class Drafted(msgspec.Struct, frozen=True):
    """A checked rule before it has a rank."""

    ready: Ready
    condition: core.Core


class Draft:
    """One named ruleset while it is loaded."""

    def __init__(self, name: str, scope: Scope) -> None:
        self.name, self.scope = name, scope
        self.mode = ""
        self.rules: list[Drafted] = []
        # Those that say neither STOP nor CONTINUE and were read before the mode was.
        self._untold: list[int] = []
        self.otherwise: tuple[core.Call, ...] = ()
        self.origin: RuleRef | None = None

    def add(self, drafted: Drafted, *, told: bool) -> None:
        """Add a rule; `told` if it says itself whether the ruleset goes on behind it."""
        if not told and not self.mode:
            self._untold.append(len(self.rules))
        self.rules.append(drafted)

    def take_mode(self, mode: str, breathe: Breathe) -> None:
        """Take the mode of the ruleset, for the rules before it and in other files, too."""
        self.mode = mode
        if mode == "ALL":
            for place in self._untold:
                ready, condition = self.rules[place].ready, self.rules[place].condition
                ref = replace(ready.ref, stops=False)
                self.rules[place] = Drafted(Ready(ref, ready.calls, ready.block), condition)
                breathe()
        self._untold = []


class Mark(NamedTuple):
    """A statement that is no rule, and the ruleset it stands in; its `rank` is LOOSE or FIXED."""

    start: int
    ruleset: str
    rank: int
    block: int


Found = tuple[int, int, int, int]  # a rule's start, the number of its ruleset, its rank and its block


def engine_of(draft: Draft, found: dict[str, list[Found]], order: list[str], breathe: Breathe) -> Engine:
    """Rank the rules and index them; each condition is dropped once it is indexed."""
    draft.rules.sort(key=lambda drafted: -drafted.ready.ref.priority)
    rules, index, watch, number = Ranked(), Index(), Watch(), order.index(draft.name)
    # Taken one by one from the end, so that 100,000 conditions are not freed in one breath, which
    # would hold the interpreter for 100 ms.
    draft.rules.reverse()
    while draft.rules:
        drafted = draft.rules.pop()
        ref = drafted.ready.ref
        rank = (len(rules) + 1) * RANK_STEP
        rules.add(rank, drafted.ready)
        index.add(Planned(rank, drafted.condition, ref.stops and not ref.shadow))
        watch.add(drafted.condition, rank)
        found[ref.file].append((ref.start, number, rank, drafted.ready.block))
        breathe()
    index.residuals.forget(breathe)
    return Engine(rules, index, draft.otherwise, draft.origin, watch, draft.scope, draft.mode, breathe)


def placed(found: list[Found], tests: Iterable[int], breathe: Breathe) -> Places:
    """The statements of one file in its order."""
    places = Places()
    for start, number, rank, block in in_order(found, breathe):
        places.add(start, number, rank)
        if places.runs and places.runs[-1].block == block:
            places.runs.append(Run(block, places.runs.pop().size + 1))
        else:
            places.runs.append(Run(block, 1))
        breathe()
    places.tests.extend(tests)
    return places
