"""Watch the dynamic fields: tell when one holds another type than the rules want of it.

A test on a wrong type is false, silently; an operator who wrote `metadata.age > 18` must still
be able to see that the platform sends "18". Which rules want what is known at load, so a message
costs one lookup for each key it brings, however many rules there are.
"""

from __future__ import annotations

from typing import Any  # facts are the host's own objects

from rules import core
from rules.decision import Mismatch, Ready, RuleRef
from rules.values import GUARDS, raw

# A mismatch names this many rules: enough to find the cause, no flood of counters.
NAMED_RULES = 20


class Watch:
    """What the rules of one ruleset want of dynamic fields, by field and by first key."""

    def __init__(self) -> None:
        self.fields: dict[str, tuple[core.Reading, dict[str, dict[str, _Wish]]]] = {}

    def add(self, condition: core.Core, rank: int) -> None:
        """Note the dynamic readings of a rule."""
        for reading in readings(condition):
            if not reading.keys or reading.wanted == "any":
                continue
            root = reading.field
            whole = core.Reading("", reading.name.partition("[")[0], root, (), "any", "")
            _, by_key = self.fields.setdefault(whole.name, (whole, {}))
            wish = by_key.setdefault(reading.keys[0], {}).setdefault(f"{reading.name}|{reading.wanted}", _Wish(reading))
            wish.ranks.add(rank)

    def drop(self, rank: int) -> None:
        """Forget a rule."""
        for _, by_key in self.fields.values():
            for wishes in by_key.values():
                for wish in wishes.values():
                    wish.ranks.discard(rank)

    def copy(self) -> Watch:
        """A watch that can be changed while the first goes on serving."""
        made = Watch()
        for name, (whole, by_key) in self.fields.items():
            copied = {key: {k: wish.copy() for k, wish in wishes.items()} for key, wishes in by_key.items()}
            made.fields[name] = (whole, copied)
        return made

    def found(self, facts: Any, rules: dict[int, Ready]) -> tuple[Mismatch, ...]:
        """What is of another type in these facts than some rule wants."""
        if not self.fields:
            return ()
        found = [one for whole, by_key in self.fields.values() for one in _wrong(whole, by_key, facts, rules)]
        return tuple(sorted(found, key=lambda mismatch: (mismatch.field, mismatch.wanted)))


class _Wish:
    def __init__(self, reading: core.Reading) -> None:
        self.reading = reading
        self.ranks: set[int] = set()

    def copy(self) -> _Wish:
        made = _Wish(self.reading)
        made.ranks = set(self.ranks)
        return made

    def named(self, rules: dict[int, Ready]) -> tuple[RuleRef, ...]:
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


def _wrong(
    whole: core.Reading, by_key: dict[str, dict[str, _Wish]], facts: Any, rules: dict[int, Ready]
) -> list[Mismatch]:
    brought = raw(whole, facts)
    if not isinstance(brought, dict):
        return []
    return [
        Mismatch(wish.reading.name, wish.reading.wanted, type(value).__name__, wish.named(rules))
        for key in brought
        for wish in by_key.get(key, _NONE).values()
        if (value := raw(wish.reading, facts)) is not None and GUARDS[wish.reading.wanted](value) is None and wish.ranks
    ]


_NONE: dict[str, _Wish] = {}
