"""Count what rules do: a plain object the host feeds with decisions and reads for its metrics."""

from __future__ import annotations

from collections import defaultdict

from rules.decision import Decision, RuleRef


class RuleCount:
    """The figures of one rule since the host started; `last_match` is a moment, 0.0 for never."""

    __slots__ = ("conflicts", "errors", "last_match", "matched", "mismatches", "shadowed")

    def __init__(self) -> None:
        self.matched = self.shadowed = self.conflicts = self.mismatches = self.errors = 0
        self.last_match = 0.0


class Counters:
    """Counts by (ruleset, rule name), so that they outlive a reload."""

    def __init__(self) -> None:
        self.rules: defaultdict[tuple[str, str], RuleCount] = defaultdict(RuleCount)

    def note(self, decision: Decision, moment: float) -> None:
        """Count one decision."""
        for ref in decision.matched:
            count = self.rules[ref.ruleset, ref.name]
            count.matched += 1
            count.last_match = moment
        for ref in decision.shadows:
            count = self.rules[ref.ruleset, ref.name]
            count.shadowed += 1
            count.last_match = moment
        for action in decision.conflicts:
            self.rules[action.rule.ruleset, action.rule.name].conflicts += 1
        for mismatch in decision.mismatches:
            for ref in mismatch.rules:
                self.rules[ref.ruleset, ref.name].mismatches += 1

    def note_error(self, ref: RuleRef) -> None:
        """Count an action of `ref` that the host could not perform."""
        self.rules[ref.ruleset, ref.name].errors += 1
