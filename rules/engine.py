"""Decide by the index: from facts to a decision.

Most rules act the same on every message, so their decisions are made once and handed out again;
only a decision with several rules, or with an argument read from the message, is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any  # facts are the host's own objects

from rules import core
from rules.decision import Decision, Ready, RuleRef, decision_of
from rules.dispatch import NEVER, compiled
from rules.index import Index, Planned
from rules.mismatch import Watch
from rules.vocabulary import Scope


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
        self._ready: dict[int, Decision] = {}
        self.decide: Callable[[Any, float], Decision] = compiled(
            index, every=False, finish=self._finish, ready={} if watch.fields else self._ready
        )
        self._every: Callable[[Any, float], list[int]] | None = None

    def every(self, facts: Any, moment: float) -> list[int]:
        """The ranks of all rules that match, in order."""
        if self._every is None:
            self._every = compiled(self.index, every=True, finish=_in_order, ready={})
        return self._every(facts, moment)

    def dismantle(self) -> None:
        """Let go of the rules one by one; the engine is of no use afterwards."""
        for table in self.index.tables.values():
            while table.buckets.by_key:
                table.buckets.by_key.popitem()
        while self.rules:
            self.rules.popitem()

    def _finish(self, facts: Any, best: int, passed: list[int]) -> Decision:
        ranks = sorted({rank for rank in passed if rank < best})
        if best != NEVER:
            ranks.append(best)
        matched = [self.rules[rank] for rank in ranks]
        mismatches = self.watch.found(facts, self.rules)
        decision = decision_of(matched, self.otherwise, self.origin, facts, mismatches)
        if not passed and not mismatches and self._fixed(ranks):
            self._ready[best] = decision
        return decision

    def _fixed(self, ranks: list[int]) -> bool:
        calls = self.rules[ranks[0]].calls if ranks else self.otherwise
        return all(call.fixed for call in calls)


def indexed(plans: Iterable[Planned]) -> Index:
    """A new index of `plans`, which come in rank order."""
    index = Index()
    for plan in plans:
        index.add(plan)
    index.residuals.forget()
    return index


def _in_order(_facts: Any, _best: int, passed: list[int]) -> list[int]:
    return sorted(set(passed)) if len(passed) > 1 else passed
