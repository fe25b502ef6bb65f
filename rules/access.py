"""Choose how the index finds a rule: the cheapest test that must hold for the rule to match.

A condition is brought to negation normal form. Of a conjunction one part becomes the way in,
the rest stays as the residual condition; of a disjunction every branch needs a way of its own.
What the way in proves is not tested again.
"""

from __future__ import annotations

from itertools import product
from typing import Any  # keys of every type

import msgspec

from rules import core
from rules.literals import required_literals

# An IN list of more values than this stays in the residual, as a frozenset.
MAX_KEYS = 64
# Longer prefixes are cut to this, so that a table per length means few tables.
MAX_PREFIX = 32
# Of a longer conjunction only so many parts are thought of as the way in: each leaves another rest of all the others.
MOST_DOORS = 32


class Door(msgspec.Struct, frozen=True, gc=False):
    """One way into a rule: a table (`kind` and readings), a key in it, and what is left to test."""

    kind: str  # equal, member, starts, ends, word, number, pattern, always
    readings: tuple[core.Reading, ...]
    key: Any  # for "number" (operator, threshold, equality key or None); the number is read first
    rest: core.Core | None


# The doors of one way: all are needed, for a message may come through any of them.
Way = tuple[Door, ...]
_ORDERED = frozenset({"<", "<=", ">", ">="})


def ways(condition: core.Core) -> list[Way]:
    """The ways to find a rule, best first; the last resort is the list that is always tried."""
    return [*_ways(positive(condition)), (Door("always", (), None, condition),)]


def positive(condition: core.Core, *, negate: bool = False) -> core.Core:
    """Negation normal form: `Inverse` stands on leaves and windows alone. An inverted leaf stays
    inverted: a missing value makes `x < 3` and `x >= 3` both false."""
    match condition:
        case core.Inverse(item=item):
            return positive(item, negate=not negate)
        case core.All(items=items) | core.Some(items=items):
            kind = core.All if isinstance(condition, core.All) != negate else core.Some
            made: list[core.Core] = []
            for item in items:
                part = positive(item, negate=negate)
                made.extend(part.items if isinstance(part, kind) else (part,))
            return kind(tuple(made), condition.start, condition.end)
        case core.Constant() if negate:
            return core.Constant(start=condition.start, end=condition.end, holds=not condition.holds)
        case _:
            return core.Inverse(condition, condition.start, condition.end) if negate else condition


def _ways(condition: core.Core) -> list[Way]:
    if isinstance(condition, core.All):
        return _ways_of_all(condition)
    if isinstance(condition, core.Some):
        return _ways_of_some(condition)
    if isinstance(condition, core.Constant) and not condition.holds:
        return [()]
    if isinstance(condition, core.Leaf) and condition.other is None:
        if condition.operator == "matches":
            return _ways_of_patterns(condition)
        way = _way_of_leaf(condition)
        return [way] if way is not None else []
    return []


def _ways_of_all(condition: core.All) -> list[Way]:
    found: list[tuple[int, Way]] = []
    keyed = _keyed(condition.items)
    if keyed:
        rest = _without(condition.items, keyed)
        readings = tuple([leaf.reading for leaf in keyed])
        keys = [_key(key) for key in product(*[_values(leaf) for leaf in keyed])]
        found.append((0, tuple([Door("equal", readings, key, rest) for key in keys])))
        found.extend((1, way) for way in _scaled(condition.items, keyed, keys))
    for item in condition.items[:MOST_DOORS]:
        if any(item is leaf for leaf in keyed):
            continue
        for way in _ways(item):
            rest = _without(condition.items, [item])
            found.append((_cost(way), tuple([_narrowed(door, rest) for door in way])))
    found.sort(key=lambda pair: pair[0])
    return [way for _, way in found[:4]]


def _scaled(items: tuple[core.Core, ...], keyed: list[core.Leaf], keys: list[Any]) -> list[Way]:
    """Thresholds below an equality key, for when one key has very many rules."""
    for item in items:
        if isinstance(item, core.Leaf) and item.operator in _ORDERED and item.other is None:
            rest = _without(items, [*keyed, item])
            readings = (item.reading, *[leaf.reading for leaf in keyed])
            return [tuple([Door("number", readings, (item.operator, item.value, key), rest) for key in keys])]
    return []


def _ways_of_some(condition: core.Some) -> list[Way]:
    doors: list[Door] = []
    for item in condition.items:
        found = _ways(item)
        if not found:
            return []
        doors.extend(found[0])
    return [tuple(doors)]


def _keyed(items: tuple[core.Core, ...]) -> list[core.Leaf]:
    """The equality tests that make the composite key, one a reading, in the readings' order."""
    chosen: dict[str, core.Leaf] = {}
    count = 1
    for item in items:
        if not isinstance(item, core.Leaf) or item.other is not None or item.operator not in ("==", "in"):
            continue
        size = len(_values(item))
        if item.reading.key not in chosen and count * size <= MAX_KEYS:
            chosen[item.reading.key] = item
            count *= size
    return [chosen[key] for key in sorted(chosen)]


def _values(leaf: core.Leaf) -> tuple[Any, ...]:
    return tuple(leaf.value) if leaf.operator == "in" else (leaf.value,)


def _key(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def _way_of_leaf(leaf: core.Leaf) -> Way | None:
    reading, operator, value = leaf.reading, leaf.operator, leaf.value
    only = (reading,)
    if operator in ("==", "in"):
        if operator == "in" and len(value) > 4096:
            return None
        return tuple([Door("equal", only, key, None) for key in _values(leaf)])
    if operator in _ORDERED:
        return (Door("number", only, (operator, value, None), None),)
    if operator == "member":
        return tuple([Door("member", only, text, None) for text in value])
    if operator in ("contains", "starts", "ends") and all(value):
        return tuple([_door_of_text(operator, reading, text) for text in value])
    return None


def _door_of_text(operator: str, reading: core.Reading, text: str) -> Door:
    if operator == "contains":
        return Door("word", (reading,), text, None)
    if len(text) <= MAX_PREFIX:
        return Door(operator, (reading,), text, None)
    cut = text[:MAX_PREFIX] if operator == "starts" else text[-MAX_PREFIX:]
    return Door(operator, (reading,), cut, core.Leaf(reading, operator, (text,), None, 0, 0))


def _ways_of_patterns(leaf: core.Leaf) -> list[Way]:
    """By a literal of each pattern. A lone pattern offers several, for one may be everywhere."""
    usable = leaf.reading.transform in ("", "lower")
    found = [required_literals(pattern) if usable else None for pattern in leaf.value]
    if len(found) == 1 and found[0] is not None and len(found[0][0]) == 1:
        (literals,), folded = found[0]
        return [(_literal_door(leaf, leaf.value[0], literal, folded=folded),) for literal in literals[:3]]
    doors: list[Door] = []
    for pattern, known in zip(leaf.value, found, strict=True):
        if known is None:
            doors.append(Door("pattern", (leaf.reading,), pattern, None))
            continue
        firsts = dict.fromkeys(branch[0] for branch in known[0])
        doors.extend(_literal_door(leaf, pattern, literal, folded=known[1]) for literal in firsts)
    return [tuple(doors)]


def _literal_door(leaf: core.Leaf, pattern: str, literal: str, *, folded: bool) -> Door:
    reading = _case_free(leaf.reading) if folded else leaf.reading
    return Door("word", (reading,), literal, core.Leaf(leaf.reading, "matches", (pattern,), None, 0, 0))


def _case_free(reading: core.Reading) -> core.Reading:
    key = f"{reading.name}|{reading.wanted}|casefold"
    return core.Reading(key, reading.name, reading.field, reading.keys, reading.wanted, "casefold")


_COSTS = {"equal": 0, "member": 1, "starts": 2, "ends": 2, "word": 3, "number": 8, "pattern": 9, "always": 10}


def _cost(way: Way) -> int:
    """The worst door decides; many doors and short words cost more."""
    short = any(door.kind == "word" and len(door.key) < 3 for door in way)
    return max((_COSTS[door.kind] for door in way), default=0) * 2 + (3 if short else 0) + len(way) // 8


def _without(items: tuple[core.Core, ...], gone: list[Any]) -> core.Core | None:
    rest = tuple([item for item in items if not any(item is other for other in gone)])
    return _together(rest)


def _together(items: tuple[core.Core, ...]) -> core.Core | None:
    if not items:
        return None
    return items[0] if len(items) == 1 else core.All(items, 0, 0)


def _narrowed(door: Door, rest: core.Core | None) -> Door:
    if rest is None:
        return door
    both = rest if door.rest is None else core.All((door.rest, rest), 0, 0)
    return Door(door.kind, door.readings, door.key, both)
