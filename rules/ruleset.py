"""A loaded ruleset: decide about messages, say which rules match.

Built by `load.load`; immutable for its users. A host keeps one reference and swaps it whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple  # facts are the host's own objects

from rules.breath import Breathe, at_once
from rules.decision import Decision, RuleRef
from rules.engine import Engine
from rules.guarded import guarded
from rules.layers import Layers
from rules.lets import Definition
from rules.places import Move, Places
from rules.vocabulary import Loader, Vocabulary

ROUTING = "routing"


class Blocks(NamedTuple):
    """How far each block of rules has moved since it was read, if it has; `last` is the last one's number."""

    moves: dict[int, Move]
    last: int


class Ruleset:
    """All rules of a directory. What is kept beside the engines serves the tools and `reload`."""

    def __init__(
        self,
        engines: dict[str, Engine],
        sources: dict[str, str],
        lets: dict[str, Definition],
        vocabulary: Vocabulary,
        loader: Loader,
        places: dict[str, Places],
        names: Layers[tuple[str, str], int],
        lists: dict[str, tuple[str, ...]],
        blocks: Blocks,
    ) -> None:
        self.engines = engines
        self.sources = sources
        self.lets = lets
        self.vocabulary = vocabulary
        self.loader = loader
        self.places = places
        self.names = names
        self.lists = lists
        self.blocks = blocks

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

    def rules(self, breathe: Breathe = at_once) -> list[RuleRef]:
        """Every enabled rule, ruleset by ruleset, in rank order."""
        found = []
        for engine in self.engines.values():
            for rank in engine.rules:
                found.append(engine.rules[rank].ref)
                breathe()
        return found

    def retire(self, successor: Ruleset, breathe: Breathe = at_once) -> None:
        """Take this ruleset apart, piece by piece, once `successor` serves; run it in a thread that rests in `breathe`.

        Letting go of 100,000 rules in one breath holds the interpreter for 60 ms. What the
        successor shares becomes its own; this ruleset decides nothing any more.
        """
        for name, engine in self.engines.items():
            after = successor.engines.get(name)
            if after is not engine:
                _retire(engine, after, breathe)
        if self.names.base is successor.names.base:
            successor.names.settle(breathe)
        else:
            self.names.clear(breathe)
        for places in successor.places.values():
            places.settled()
            breathe()
        self.engines = {}

    def discard(self, predecessor: Ruleset, breathe: Breathe = at_once) -> None:
        """Take this ruleset apart, which will never serve; what it shares with `predecessor` stays."""
        for name, engine in self.engines.items():
            before = predecessor.engines.get(name)
            if before is not None and engine.succeeds(before):
                engine.forget(breathe)
            elif before is not engine:
                engine.dismantle(breathe)
        if self.names.base is not predecessor.names.base:
            self.names.clear(breathe)
        self.engines = {}


def _retire(engine: Engine, after: Engine | None, breathe: Breathe) -> None:
    if after is not None and after.succeeds(engine):
        after.settle(breathe)
        engine.forget(breathe)
    else:
        engine.dismantle(breathe)


_NOTHING = Decision(fixed=True)
