"""Find the rules that match a message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any  # facts are the host's own objects

import msgspec

from rules import core
from rules.residual import Residuals


class Planned(msgspec.Struct, frozen=True):
    """A rule for the index: its rank (lower runs first), its condition, whether it stops."""

    rank: int
    condition: core.Core
    stops: bool


class Engine:
    """The rules of one ruleset, in rank order."""

    def __init__(self, plans: Iterable[Planned]) -> None:
        residuals = Residuals()
        self._rules = [(plan.rank, residuals.test(plan.condition), plan.stops) for plan in plans]
        residuals.forget()

    def first(self, facts: Any, moment: float) -> list[int]:
        """Ranks of the matching rules up to and including the first that stops."""
        found = []
        for rank, test, stops in self._rules:
            if test(facts, moment):
                found.append(rank)
                if stops:
                    break
        return found

    def every(self, facts: Any, moment: float) -> list[int]:
        """Ranks of all matching rules."""
        return [rank for rank, test, _ in self._rules if test(facts, moment)]
