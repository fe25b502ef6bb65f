"""The syntax tree: what the operator wrote, with the place of everything.

`start` and `end` are offsets into the file's text. Nodes are frozen and acyclic, so they are
kept out of the garbage collector; a file of 100,000 rules is walked statement by statement and
its trees are dropped one by one.
"""

from __future__ import annotations

from typing import Literal as Only

import msgspec


class Literal(msgspec.Struct, frozen=True, gc=False):
    """`kind` is text, number, duration, size, boolean or regex; `value` is in seconds or bytes."""

    kind: str
    value: str | int | float | bool
    start: int
    end: int


class Listed(msgspec.Struct, frozen=True, gc=False):
    items: tuple[Literal, ...]
    start: int
    end: int


class FileList(msgspec.Struct, frozen=True, gc=False):
    name: str
    start: int
    end: int


class Operand(msgspec.Struct, frozen=True, gc=False):
    """A field, perhaps inside LENGTH, LOWER or COUNT; a bare name may turn out to be a LET."""

    function: str
    field: str
    keys: tuple[str, ...]
    start: int
    end: int


class Or(msgspec.Struct, frozen=True, gc=False):
    items: tuple[Condition, ...]
    start: int
    end: int


class And(msgspec.Struct, frozen=True, gc=False):
    items: tuple[Condition, ...]
    start: int
    end: int


class Not(msgspec.Struct, frozen=True, gc=False):
    item: Condition
    start: int
    end: int


class Group(msgspec.Struct, frozen=True, gc=False):
    """Parentheses the operator wrote; they mean nothing, but the formatter keeps them."""

    item: Condition
    start: int
    end: int


class Use(msgspec.Struct, frozen=True, gc=False):
    """`$name`: a condition named by LET."""

    name: str
    start: int
    end: int


class Compare(msgspec.Struct, frozen=True, gc=False):
    operand: Operand
    operator: str
    value: Value
    start: int
    end: int


class Within(msgspec.Struct, frozen=True, gc=False):
    """`x [NOT] IN list`."""

    operand: Operand
    negated: bool
    value: Value
    start: int
    end: int


class TextTest(msgspec.Struct, frozen=True, gc=False):
    """`x [NOT] CONTAINS …`; `operator` is CONTAINS, INCLUDES, MATCHES, STARTS or ENDS."""

    operand: Operand
    negated: bool
    operator: str
    any: bool
    value: Value
    folded: bool
    start: int
    end: int


class Exists(msgspec.Struct, frozen=True, gc=False):
    operand: Operand
    negated: bool
    start: int
    end: int


class TimeIn(msgspec.Struct, frozen=True, gc=False):
    """Minutes of the day, the end not included; `days` are 0 for Monday, empty for every day."""

    first: int
    until: int
    days: tuple[int, ...]
    zone: str
    start: int
    end: int


Value = Literal | Listed | FileList | Operand
Condition = Or | And | Not | Group | Use | Compare | Within | TextTest | Exists | TimeIn


class Argument(msgspec.Struct, frozen=True, gc=False):
    name: str
    value: Value
    start: int
    end: int


class Action(msgspec.Struct, frozen=True, gc=False):
    name: str
    arguments: tuple[Argument, ...]
    per: Operand | None
    start: int
    end: int


class Let(msgspec.Struct, frozen=True, gc=False):
    name: str
    value: Literal | Listed | FileList | Condition
    start: int
    end: int


class Open(msgspec.Struct, frozen=True, gc=False):
    """`RULESET "name"`: the statements up to `Close` are its rules."""

    name: str
    mode: Only["", "FIRST", "ALL"]
    start: int
    end: int


class Close(msgspec.Struct, frozen=True, gc=False):
    start: int
    end: int


class Rule(msgspec.Struct, frozen=True, gc=False):
    """`outcome` is STOP, CONTINUE or empty for what the ruleset's mode says."""

    name: str
    named: bool
    priority: int
    shadow: bool
    disabled: bool
    note: str
    condition: Condition
    actions: tuple[Action, ...]
    outcome: Only["", "STOP", "CONTINUE"]
    start: int
    end: int


class Otherwise(msgspec.Struct, frozen=True, gc=False):
    actions: tuple[Action, ...]
    start: int
    end: int


class Binding(msgspec.Struct, frozen=True, gc=False):
    """`field = value` of a TEST; no value stands for MISSING."""

    operand: Operand
    value: Literal | Listed | FileList | None
    start: int
    end: int


class Expectation(msgspec.Struct, frozen=True, gc=False):
    """One of: an action (`negated` or not), a rule by name, or no rule at all."""

    action: Action | None
    negated: bool = False
    rule: str = ""
    start: int = 0
    end: int = 0


class Test(msgspec.Struct, frozen=True, gc=False):
    __test__ = False

    name: str
    given: tuple[Binding, ...]
    at: str
    expected: tuple[Expectation, ...]
    start: int
    end: int


Statement = Let | Open | Close | Rule | Otherwise | Test
