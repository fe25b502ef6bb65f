"""What rules may speak of: the host's fields, actions and checked names.

The language knows no field and no action of its own. A host describes them here, one `Scope`
for each ruleset, and says how a field is read from the facts it will pass: a path of
attributes (`("sender", "id")`), or, without a path, the key of a mapping.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from datetime import tzinfo
from typing import Literal, Protocol

import msgspec

FieldKind = Literal["text", "number", "boolean", "list", "dynamic"]
ParamKind = Literal["text", "number", "duration", "size", "boolean", "rate", "field", "list", "any"]


class Field(msgspec.Struct, frozen=True):
    """One field and how to read it.

    `path` is a chain of attributes on the facts; a part ending in `?` may be None, and then the
    field is missing. Without a path the facts are a mapping and the field's name is its key.
    `exact`: the host promises the type (or None), so tests skip the check. `always`: the field
    is never missing. `nfc`: the host promises NFC text. A `dynamic` field is a mapping of the
    platform's own keys (`message.metadata`): each key under it is checked when it is read.
    `stands_for`: in a TEST that does not give it, it has the value of that field (`input` that of
    `message.content`).
    """

    kind: FieldKind
    path: tuple[str, ...] = ()
    exact: bool = False
    always: bool = False
    nfc: bool = False
    stands_for: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        for part in self.path:
            name = part.removesuffix("?")
            if not name.isidentifier() or keyword.iskeyword(name):
                raise ValueError(f"the path part {part!r} is no attribute name")


class Param(msgspec.Struct, frozen=True):
    """One parameter of an action. `names` is the key in `Vocabulary.names` its text is checked
    against; `many` takes all remaining arguments as a tuple; `field` takes the field's name."""

    name: str
    kind: ParamKind = "text"
    names: str = ""
    optional: bool = False
    many: bool = False


class ActionSpec(msgspec.Struct, frozen=True):
    """`terminal`: of several in one decision only the highest-ranked counts. `per`: takes PER."""

    params: tuple[Param, ...] = ()
    terminal: bool = False
    per: bool = False
    about: str = ""


class Scope(msgspec.Struct, frozen=True):
    """The fields and actions of one ruleset."""

    fields: Mapping[str, Field]
    actions: Mapping[str, ActionSpec]


class Vocabulary(msgspec.Struct, frozen=True):
    """`scopes` by ruleset name ("routing" holds the rules outside any RULESET); `names` are the
    things that exist: `{"pipelines": frozenset({"default"}), …}`."""

    scopes: Mapping[str, Scope]
    names: Mapping[str, frozenset[str]] = {}


class Loader(Protocol):
    """What rules need from outside; a host implements it, so that this package reads nothing."""

    def lines(self, name: str) -> tuple[str, ...]:
        """The entries of a FILE list. Raises `Unavailable` with the reason."""

    def zone(self, name: str) -> tzinfo:
        """The time zone `name` ("" is the configured one). Raises `Unavailable` if unknown."""
