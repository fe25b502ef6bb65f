"""What rules remember from one message to the next, and over a reload: counts and rates."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.flow.throttle import Throttle
from rules import Counters, RuleRef


class RuleMemory:
    """Counters by rule and the buckets of `throttle`."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.throttle = Throttle()

    def forget(self, gone: Iterable[RuleRef], files: Iterable[str]) -> None:
        """Drop the counts of removed rules, and of those without a name in edited files: their lines moved."""
        counts = self.counters.rules
        for ref in gone:
            counts.pop((ref.ruleset, ref.name), None)
        moved = tuple([f"{name}:" for name in files])
        for key in [key for key in counts if moved and key[1].startswith(moved)]:
            del counts[key]
