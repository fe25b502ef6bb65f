"""Decide by the index: from facts to a decision.

Most rules act the same on every message, so their decisions are made once and handed out again;
only a decision with an argument read from the message, or with a field of a wrong type, is put
together each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any  # facts are the host's own objects

from rules import core
from rules.decision import Decision, Ready, RuleRef, decision_of
from rules.dispatch import NEVER, Matched, compiled
from rules.index import Index, Planned
from rules.mismatch import Watch
from rules.vocabulary import Scope

# Besides one for each rule, so many decisions of several rules are kept: of 700 bytes each, 3 MB.
MOST_TOGETHER = 4096


class Engine:
    """One ruleset's rules by rank, its index, and the functions generated from it."""

    def __init__(
        self,
        rules: dict[int, Ready],
        index: Index,
        otherwise: tuple[core.Call, ...],
        origin: RuleRef | None,
        watch: Watch,
        scope: Scope,
        mode: str = "",
    ) -> None:
        self.rules, self.index, self.watch, self.scope = rules, index, watch, scope
        self.otherwise, self.origin, self.mode = otherwise, origin, mode
        self._ready: dict[Matched, Decision] = {}
        self.decide: Callable[[Any, float], Decision] = compiled(
            index, every=False, finish=self._finish, ready=self._ready, watch=watch
        )
        self._every: Callable[[Any, float], list[int]] | None = None

    def every(self, facts: Any, moment: float) -> list[int]:
        """The ranks of all rules that match, in order."""
        if self._every is None:
            self._every = compiled(self.index, every=True, finish=_in_order)
        return self._every(facts, moment)

    def dismantle(self) -> None:
        """Let go of the rules one by one; the engine is of no use afterwards."""
        for table in self.index.tables.values():
            while table.buckets.by_key:
                table.buckets.by_key.popitem()
        while self.rules:
            self.rules.popitem()

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


def indexed(plans: Iterable[Planned]) -> Index:
    """A new index of `plans`, which come in rank order."""
    index = Index()
    for plan in plans:
        index.add(plan)
    index.residuals.forget()
    return index


def _in_order(_facts: Any, passed: list[int]) -> list[int]:
    return sorted(set(passed)) if len(passed) > 1 else passed
