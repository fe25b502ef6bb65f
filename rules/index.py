"""The index of one ruleset: every rule behind the doors through which messages find it.

Built once; a changed ruleset is a `copy` with some rules dropped and others added, sharing
every table and automaton the change does not touch.
"""

from __future__ import annotations

from typing import Any  # conditions' keys

import msgspec

from rules import core
from rules.access import Door, Way, ways
from rules.breath import Breathe
from rules.residual import Residuals
from rules.tables import Affixes, Buckets, Entry, Patterns, Thresholds, Words

# A bucket this full is scanned more slowly than another table is asked.
FULL_BUCKET = 8
# A lookup costs about 0.1 µs, so this many sets of fields are worth tables of their own; a rule
# with yet another set goes by a part of it.
MAX_SHAPES = 24


class Planned(msgspec.Struct, frozen=True, gc=False):
    """A rule for the index: its rank (lower runs first), its condition, whether it stops."""

    rank: int
    condition: core.Core
    stops: bool


class Table(msgspec.Struct, frozen=True):
    """One table and the readings its keys are made of; `operator` for thresholds."""

    kind: str
    readings: tuple[core.Reading, ...]
    operator: str
    buckets: Buckets


_KINDS: dict[str, type[Buckets]] = {
    "equal": Buckets,
    "member": Buckets,
    "starts": Affixes,
    "ends": Affixes,
    "word": Words,
    "number": Thresholds,
    "pattern": Patterns,
    "always": Buckets,
}


class Index:
    """Tables by kind, readings and operator; `residuals` makes the tests of their entries."""

    def __init__(self, residuals: Residuals | None = None) -> None:
        self.tables: dict[tuple[Any, ...], Table] = {}
        self.residuals = residuals or Residuals()
        self._shapes = 0

    def copy(self) -> Index:
        """An index that can be changed while the first goes on serving."""
        made = Index(self.residuals)
        made.tables = {
            place: Table(table.kind, table.readings, table.operator, table.buckets.copy())
            for place, table in self.tables.items()
        }
        made._shapes = self._shapes
        return made

    def settle(self, breathe: Breathe) -> None:
        """Write what was changed since the copy into the tables that the original shares."""
        for table in self.tables.values():
            table.buckets.settle(breathe)

    def clear(self, breathe: Breathe) -> None:
        """Let go of everything, piece by piece."""
        for table in self.tables.values():
            table.buckets.clear(breathe)

    def add(self, plan: Planned) -> None:
        for door in self._choose(ways(plan.condition)):
            test = None if door.rest is None else self.residuals.test(door.rest)
            entry: Entry = (plan.rank, test, plan.stops)
            self._table(door).buckets.put(_key(door), entry)

    def drop(self, plan: Planned) -> None:
        """Take a rule out, through whichever doors it was put in."""
        for way in ways(plan.condition):
            for door in way:
                for seen in (door, _narrowest(door)):
                    table = self.tables.get(_place(seen))
                    if table is not None:
                        table.buckets.drop(_key(seen), plan.rank)

    def kinds(self) -> dict[str, int]:
        """How many entries each kind of table holds."""
        counted: dict[str, int] = {}
        for table in self.tables.values():
            size = sum(len(bucket) for _, bucket in table.buckets.by_key.items())
            counted[table.kind] = counted.get(table.kind, 0) + size
        return counted

    def _choose(self, found: list[Way]) -> Way:
        """The first way whose buckets have room; else the one whose fullest bucket is smallest."""
        best, fullest = found[0], -1
        for way in found:
            if way and way[0].kind == "always":
                break
            way = tuple([self._fitted(door) for door in way])
            full = max((self._size(door) for door in way), default=0)
            if full < FULL_BUCKET:
                return way
            if fullest < 0 or full < fullest:
                best, fullest = way, full
        return best

    def _fitted(self, door: Door) -> Door:
        """The door, or a plainer one if it would need one table too many."""
        if door.kind != "equal" or len(door.readings) == 1 or _place(door) in self.tables:
            return door
        return door if self._shapes < MAX_SHAPES else _narrowest(door)

    def _size(self, door: Door) -> int:
        table = self.tables.get(_place(door))
        return 0 if table is None else table.buckets.size(_key(door))

    def _table(self, door: Door) -> Table:
        place = _place(door)
        table = self.tables.get(place)
        if table is None:
            operator = door.key[0] if door.kind == "number" else ""
            table = self.tables[place] = Table(door.kind, door.readings, operator, _KINDS[door.kind]())
            self._shapes += door.kind == "equal"
        return table


def _place(door: Door) -> tuple[Any, ...]:
    operator = door.key[0] if door.kind == "number" else ""
    return (door.kind, operator, *[reading.key for reading in door.readings])


def _key(door: Door) -> Any:
    return door.key[1:] if door.kind == "number" else door.key


def _narrowest(door: Door) -> Door:
    """A composite key cut to its last field; what the others proved is tested again."""
    if door.kind != "equal" or len(door.readings) == 1:
        return door
    others = [
        core.Leaf(reading, "==", value, None, 0, 0)
        for reading, value in zip(door.readings[:-1], door.key[:-1], strict=True)
    ]
    parts = (*others, door.rest) if door.rest is not None else tuple(others)
    rest = parts[0] if len(parts) == 1 else core.All(parts, 0, 0)
    return Door("equal", door.readings[-1:], door.key[-1], rest)
