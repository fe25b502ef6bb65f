"""Checked conditions: what a rule means, with every name resolved and every type known.

`check.py` makes these from the syntax tree; the interpreter (`interpret.py`) defines their
meaning, the compiler (`compile.py`, `index.py`) makes them fast. Spans are kept so that an
explanation can point at what the operator wrote.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Literal

import msgspec

from rules.vocabulary import Field

# "casefold" is the index's own: folded for a case-free regular expression, not composed again.
Transform = Literal["", "lower", "fold", "casefold", "length", "count"]
# "text or list": CONTAINS on a dynamic field, whose value may be either.
Wanted = Literal["text", "number", "boolean", "list", "text or list", "any"]


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One value read from the facts: a field, the keys below it if it is dynamic, the type the
    test wants and what is done to the value first. Two readings are the same if `key` is."""

    key: str
    name: str
    field: Field
    keys: tuple[str, ...]
    wanted: Wanted
    transform: Transform


class Constant(msgspec.Struct, frozen=True, gc=False):
    """A condition that holds always or never, such as IN an empty list."""

    holds: bool
    start: int
    end: int


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """One positive test; on a missing value it is false.

    `operator` and the type of `value`: `==` scalar; `in` frozenset; `<` `<=` `>` `>=` number;
    `contains` `starts` `ends` tuple of texts, any of which will do; `member` frozenset, any of
    which will do; `matches` tuple of RE2 patterns; `exists` None. With `other` the right side
    is a reading instead.
    """

    reading: Reading
    operator: str
    value: Any  # as the operator says above
    other: Reading | None
    start: int
    end: int


class Window(msgspec.Struct, frozen=True, gc=False):
    """A time of day, in minutes, on some days (those on which the window begins)."""

    first: int
    until: int
    days: frozenset[int]
    zone: tzinfo
    start: int
    end: int


class All(msgspec.Struct, frozen=True, gc=False):
    items: tuple[Core, ...]
    start: int
    end: int


class Some(msgspec.Struct, frozen=True, gc=False):
    items: tuple[Core, ...]
    start: int
    end: int


class Inverse(msgspec.Struct, frozen=True, gc=False):
    item: Core
    start: int
    end: int


Core = Constant | Leaf | Window | All | Some | Inverse


class Rate(msgspec.Struct, frozen=True):
    """`"5/1m"`: so many in so many seconds."""

    count: int
    seconds: float


class Computed(msgspec.Struct, frozen=True, gc=False):
    """An argument that is read from the facts when the rule matches."""

    reading: Reading


class FieldRef(msgspec.Struct, frozen=True):
    """An argument that names a field: `set(message.metadata["x"], …)`."""

    field: str
    keys: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, gc=False):
    """A checked action: parameter names and their values, still to be computed or not."""

    name: str
    arguments: tuple[tuple[str, Any], ...]  # literal, tuple, Rate, FieldRef or Computed
    per: Reading | None
    terminal: bool
    fixed: bool
