"""A loaded ruleset: decide about messages, say which rules match.

Built by `load.load`; immutable for its users. A host keeps one reference and swaps it whole.
"""

from __future__ import annotations

from typing import Any  # facts are the host's own objects

import msgspec

from rules.decision import Decision, RuleRef
from rules.engine import Engine
from rules.guarded import guarded
from rules.lets import Definition
from rules.vocabulary import Loader, Vocabulary

ROUTING = "routing"


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where a rule starts in its file, and under which rank its ruleset has it."""

    start: int
    ruleset: str
    rank: int


class Ruleset:
    """All rules of a directory. What is kept beside the engines serves the tools and `reload`."""

    def __init__(
        self,
        engines: dict[str, Engine],
        sources: dict[str, str],
        lets: dict[str, Definition],
        vocabulary: Vocabulary,
        loader: Loader,
        places: dict[str, list[Placed]],
        names: set[tuple[str, str]],
        lists: dict[str, tuple[str, ...]],
    ) -> None:
        self.engines = engines
        self.sources = sources
        self.lets = lets
        self.vocabulary = vocabulary
        self.loader = loader
        self.places = places
        self.names = names
        self.lists = lists

    def decide(self, ruleset: str, facts: Any, moment: float) -> Decision:
        """The decision of the ruleset called `ruleset`; an empty one if no file has it.

        `moment` is in seconds since 1970 UTC. Never raises, whatever the facts hold.
        """
        engine = self.engines.get(ruleset)
        if engine is None:
            return _NOTHING
        try:
            return engine.decide(facts, moment)
        except Exception:
            return engine.decide(guarded(facts, engine.scope), moment)

    def matches(self, ruleset: str, facts: Any, moment: float) -> tuple[RuleRef, ...]:
        """Every rule whose condition holds, in rank order, whatever stops before it."""
        engine = self.engines.get(ruleset)
        if engine is None:
            return ()
        return tuple([engine.rules[rank].ref for rank in engine.every(facts, moment)])

    def rules(self) -> list[RuleRef]:
        """Every enabled rule, ruleset by ruleset, in rank order."""
        return [engine.rules[rank].ref for engine in self.engines.values() for rank in sorted(engine.rules)]

    def retire(self, successor: Ruleset) -> None:
        """Take this ruleset apart, piece by piece, once `successor` serves; run it in a thread.

        Letting go of 100,000 rules in one breath holds the interpreter for 60 ms. What the
        successor shares stays whole; this ruleset decides nothing any more.
        """
        shared = {id(engine) for engine in successor.engines.values()}
        for engine in self.engines.values():
            if id(engine) not in shared:
                engine.dismantle()
        if self.names is not successor.names:
            while self.names:
                self.names.pop()
        kept = {id(places) for places in successor.places.values()}
        for places in self.places.values():
            while places and id(places) not in kept:
                places.pop()
        self.engines = {}


_NOTHING = Decision(fixed=True)
