"""Watch the dynamic fields: tell when one holds another type than the rules want of it.

A test on a wrong type is false, silently; an operator who wrote `metadata.age > 18` must still
be able to see that the platform sends "18". Which rules want what is known at load, so a message
costs one lookup for each key it brings, however many rules there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any  # facts are the host's own objects

from rules import core
from rules.decision import Mismatch, RuleRef
from rules.places import Ranked
from rules.values import GUARDS, raw

# A mismatch names this many rules: enough to find the cause, no flood of counters.
NAMED_RULES = 20
# The types of which every value will do. A float is a number unless it is NaN, so it is looked at.
FINE: dict[str, frozenset[type]] = {
    "text": frozenset((str, NoneType)),
    "number": frozenset((int, NoneType)),
    "boolean": frozenset((bool, NoneType)),
    "list": frozenset((list, tuple, NoneType)),
    "text or list": frozenset((str, list, tuple, NoneType)),
}


class Watch:
    """What the rules of one ruleset want of dynamic fields: for each field a tree of the keys they read below it."""

    def __init__(self) -> None:
        self.fields: dict[str, tuple[core.Reading, Branch]] = {}

    def add(self, condition: core.Core, rank: int) -> None:
        """Note the dynamic readings of a rule."""
        for reading in readings(condition):
            if not reading.keys or reading.wanted == "any":
                continue
            whole = core.Reading("", reading.name.partition("[")[0], reading.field, (), "any", "")
            _, root = self.fields.setdefault(whole.name, (whole, Branch()))
            root.grown(reading.keys).want(reading, rank)

    def drop(self, rank: int) -> None:
        """Forget a rule."""
        for _, root in self.fields.values():
            root.drop(rank)

    def copy(self) -> Watch:
        """A watch that can be changed while the first goes on serving."""
        made = Watch()
        made.fields = {name: (whole, root.copy()) for name, (whole, root) in self.fields.items()}
        return made

    def found(self, facts: Any, rules: Ranked) -> tuple[Mismatch, ...]:
        """What is of another type in these facts than some rule wants."""
        found = [
            Mismatch(wish.reading.name, wish.reading.wanted, type(value).__name__, wish.named(rules))
            for whole, root in self.fields.values()
            for wish, value in root.wrong(raw(whole, facts))
        ]
        return tuple(sorted(found, key=lambda mismatch: (mismatch.field, mismatch.wanted)))


class Branch:
    """The wishes for one value, and the branches for the values below it.

    `fine` are the types that fulfil every wish here, whatever the value; None is "any type".
    """

    __slots__ = ("below", "fine", "wishes")

    def __init__(self) -> None:
        self.wishes: dict[str, _Wish] = {}
        self.fine: frozenset[type] | None = None
        self.below: dict[str, Branch] = {}

    def grown(self, keys: tuple[str, ...]) -> Branch:
        """The branch for the value under `keys`, made if need be."""
        branch = self
        for key in keys:
            branch = branch.below.setdefault(key, Branch())
        return branch

    def want(self, reading: core.Reading, rank: int) -> None:
        self.wishes.setdefault(reading.wanted, _Wish(reading)).ranks.add(rank)
        fine = FINE[reading.wanted]
        self.fine = fine if self.fine is None else self.fine & fine

    def drop(self, rank: int) -> None:
        for wish in self.wishes.values():
            wish.ranks.discard(rank)
        for branch in self.below.values():
            branch.drop(rank)

    def copy(self) -> Branch:
        made = Branch()
        made.wishes = {wanted: wish.copy() for wanted, wish in self.wishes.items()}
        made.fine = self.fine
        made.below = {key: branch.copy() for key, branch in self.below.items()}
        return made

    def sound(self, held: Any) -> bool:
        """Whether `wrong` has surely nothing to tell of `held`; every message is asked this, and few the other."""
        if not isinstance(held, dict):
            return True
        below = self.below
        for key, value in held.items():
            if key in below:
                branch = below[key]
                if branch.fine is not None and value.__class__ not in branch.fine:
                    return False
                if branch.below and not branch.sound(value):
                    return False
        return True

    def wrong(self, held: Any) -> Iterator[tuple[_Wish, Any]]:
        """The wishes below this value that are not fulfilled, and what was found instead."""
        for key in held if isinstance(held, dict) else ():
            branch = self.below.get(key)
            if branch is not None:
                value = held[key]
                for wish in branch.wishes.values():
                    if wish.ranks and value is not None and GUARDS[wish.reading.wanted](value) is None:
                        yield wish, value
                yield from branch.wrong(value)


class _Wish:
    def __init__(self, reading: core.Reading) -> None:
        self.reading = reading
        self.ranks: set[int] = set()

    def copy(self) -> _Wish:
        made = _Wish(self.reading)
        made.ranks = set(self.ranks)
        return made

    def named(self, rules: Ranked) -> tuple[RuleRef, ...]:
        return tuple([rules[rank].ref for rank in sorted(self.ranks)[:NAMED_RULES]])


def readings(condition: core.Core) -> list[core.Reading]:
    """Every reading of a condition."""
    match condition:
        case core.All(items=items) | core.Some(items=items):
            return [reading for item in items for reading in readings(item)]
        case core.Inverse(item=item):
            return readings(item)
        case core.Leaf():
            return [condition.reading] if condition.other is None else [condition.reading, condition.other]
        case _:
            return []
