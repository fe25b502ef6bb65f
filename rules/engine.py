"""Decide by the index: from facts to a decision.

Most rules act the same on every message, so their decisions are made once and handed out again;
only a decision with an argument read from the message, or with a field of a wrong type, is put
together each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any  # facts are the host's own objects

from rules import core
from rules.breath import Breathe, at_once, empty
from rules.decision import Decision, RuleRef, decision_of
from rules.dispatch import NEVER, Matched, compiled
from rules.index import Index
from rules.mismatch import Watch
from rules.places import Ranked
from rules.vocabulary import Scope

# Besides one for each rule, so many decisions of several rules are kept: of 700 bytes each, 3 MB.
MOST_TOGETHER = 4096


class Engine:
    """One ruleset's rules by rank, its index, and the functions generated from it."""

    def __init__(
        self,
        rules: Ranked,
        index: Index,
        otherwise: tuple[core.Call, ...],
        origin: RuleRef | None,
        watch: Watch,
        scope: Scope,
        mode: str = "",
        breathe: Breathe = at_once,
    ) -> None:
        self.rules, self.index, self.watch, self.scope = rules, index, watch, scope
        self.otherwise, self.origin, self.mode = otherwise, origin, mode
        self._ready: dict[Matched, Decision] = {}
        self.decide: Callable[[Any, float], Decision] = compiled(
            index, every=False, finish=self._finish, ready=self._ready, watch=watch, breathe=breathe
        )
        self._every: Callable[[Any, float], list[int]] | None = None

    def every(self, facts: Any, moment: float) -> list[int]:
        """The ranks of all rules that match, in order."""
        if self._every is None:
            self._every = compiled(self.index, every=True, finish=_in_order)
        return self._every(facts, moment)

    def succeeds(self, other: Engine) -> bool:
        """Whether this was made of `other` by an edit, and shares its tables."""
        return self is not other and self.rules.succeeds(other.rules)

    def settle(self, breathe: Breathe) -> None:
        """Take over the tables shared with the engine this was made of, which is of no use afterwards."""
        self.rules.settle(breathe)
        self.index.settle(breathe)

    def dismantle(self, breathe: Breathe) -> None:
        """Let go of the rules one by one; the engine decides nothing any more."""
        self.forget(breathe)
        self.index.clear(breathe)
        self.rules.clear(breathe)

    def forget(self, breathe: Breathe) -> None:
        """Cut the ring of this engine and its functions, which nothing would free once it is frozen."""
        found = [each for each in (self.decide, self._every) if each is not None]
        self.decide, self._every = _nothing, _no_rules
        for function in found:
            # One by one: a hundred automata freed in one breath would hold the interpreter for 100 ms.
            for cell in getattr(function, "__closure__", None) or ():
                cell.cell_contents = None
                breathe()
        empty(self._ready, breathe)

    def _finish(self, facts: Any, matched: Matched) -> Decision:
        mismatches = self.watch.found(facts, self.rules)
        if not mismatches and (ready := self._ready.get(matched)) is not None:
            return ready
        best, *passed = matched if isinstance(matched, tuple) else (matched,)
        ranks = sorted({rank for rank in passed if rank < best})
        if best != NEVER:
            ranks.append(best)
        fired = [self.rules[rank] for rank in ranks]
        decision = decision_of(fired, self.otherwise, self.origin, facts, mismatches)
        if decision.fixed and len(self._ready) < len(self.rules) + MOST_TOGETHER:
            self._ready[matched] = decision
        return decision


def _in_order(_facts: Any, passed: list[int]) -> list[int]:
    return sorted(set(passed)) if len(passed) > 1 else passed


def _nothing(_facts: Any, _moment: float) -> Decision:
    return Decision(fixed=True)


def _no_rules(_facts: Any, _moment: float) -> list[int]:
    return []
