"""A loaded ruleset: decide about messages, say which rules match.

Built by `load.load`; immutable for its users. A host keeps one reference and swaps it whole.
"""

from __future__ import annotations

from typing import Any  # facts are the host's own objects

import msgspec

from rules import core
from rules.decision import Decision, Ready, RuleRef, decision_of
from rules.engine import Engine
from rules.lets import Definition
from rules.vocabulary import Loader, Vocabulary

ROUTING = "routing"


class Part(msgspec.Struct):
    """One named ruleset: its rules by rank, its engine, its OTHERWISE."""

    name: str
    mode: str
    rules: dict[int, Ready]
    engine: Engine
    otherwise: tuple[core.Call, ...] = ()
    origin: RuleRef | None = None


class Ruleset:
    """All rules of a directory. `sources`, `lets`, `vocabulary` and `loader` serve the tools."""

    def __init__(
        self,
        parts: dict[str, Part],
        sources: dict[str, str],
        lets: dict[str, Definition],
        vocabulary: Vocabulary,
        loader: Loader,
    ) -> None:
        self.parts = parts
        self.sources = sources
        self.lets = lets
        self.vocabulary = vocabulary
        self.loader = loader

    def decide(self, ruleset: str, facts: Any, moment: float) -> Decision:
        """The decision of the ruleset called `ruleset`; an empty one if no file has it.

        `moment` is in seconds since 1970 UTC. Never raises, whatever the facts hold.
        """
        part = self.parts.get(ruleset)
        if part is None:
            return _NOTHING
        ranks = part.engine.first(facts, moment)
        matched = [part.rules[rank] for rank in ranks]
        return decision_of(matched, part.otherwise, part.origin, facts)

    def matches(self, ruleset: str, facts: Any, moment: float) -> tuple[RuleRef, ...]:
        """Every rule whose condition holds, in rank order, whatever stops before it."""
        part = self.parts.get(ruleset)
        if part is None:
            return ()
        return tuple([part.rules[rank].ref for rank in part.engine.every(facts, moment)])

    def rules(self) -> list[RuleRef]:
        """Every enabled rule, ruleset by ruleset, in rank order."""
        return [part.rules[rank].ref for part in self.parts.values() for rank in sorted(part.rules)]


_NOTHING = Decision()
