"""Read values out of facts: the run-time half of a `Reading`.

Text is compared in NFC, case is ignored by comparing case-folded copies (whose lengths differ
from the original's, so no offset is ever carried over), and a value of the wrong type counts as
missing. Nothing here raises on any value.
"""

from __future__ import annotations

from typing import Any  # facts are the host's own objects

from rules.composing import nfc
from rules.core import Reading


def as_text(value: Any) -> str | None:
    if value.__class__ is not str:
        return None
    return value if value.isascii() else nfc(value)


def as_number(value: Any) -> int | float | None:
    """A number; True is none, and NaN compares with nothing, so it is missing."""
    if value.__class__ is int:
        return value
    return value if value.__class__ is float and value == value else None


def as_boolean(value: Any) -> bool | None:
    return value if value.__class__ is bool else None


def as_list(value: Any) -> tuple[str | None, ...] | None:
    """The texts in a list; another element counts, but equals no text."""
    if value.__class__ is not list and value.__class__ is not tuple:
        return None
    return tuple([as_text(item) for item in value])


def as_text_or_list(value: Any) -> str | tuple[str | None, ...] | None:
    return as_text(value) if value.__class__ is str else as_list(value)


def as_any(value: Any) -> Any:
    return value


def lower(value: Any) -> Any:
    # Lowering can undo composition (J with a caron has no letter of its own, j has).
    return nfc(value.lower()) if value.__class__ is str else value


def fold(value: Any) -> Any:
    """A copy for comparing without case, of a text or of every text of a list."""
    if value.__class__ is str:
        return fold_text(value)
    return tuple([fold_text(item) if item else item for item in value]) if value.__class__ is tuple else value


def fold_text(text: str) -> str:
    # Folding can undo composition (U+0345, U+1E9E and others), so the copy is composed again.
    return text.lower() if text.isascii() else nfc(text.casefold())


def casefold(value: Any) -> Any:
    """Folded and nothing more: where RE2 ignores case for an ASCII letter, this has the letter."""
    return value.casefold() if value.__class__ is str else value


def size(value: Any) -> int | None:
    return None if value is None else len(value)


GUARDS = {
    "text": as_text,
    "number": as_number,
    "boolean": as_boolean,
    "list": as_list,
    "text or list": as_text_or_list,
    "any": as_any,
}
TRANSFORMS = {"": as_any, "lower": lower, "fold": fold, "casefold": casefold, "length": size, "count": size}


def dig(container: Any, keys: tuple[str, ...]) -> Any:
    """The value below nested mappings; None where one of them is no mapping."""
    for key in keys:
        if not isinstance(container, dict):
            return None
        container = container.get(key)
    return container


def raw(reading: Reading, facts: Any) -> Any:
    """The value as the host holds it, or None."""
    value = facts
    if not reading.field.path:
        value = facts.get(reading.name.partition("[")[0]) if hasattr(facts, "get") else None
    for part in reading.field.path:
        value = getattr(value, part.removesuffix("?"), None)
    return dig(value, reading.keys) if reading.keys else value


def read(reading: Reading, facts: Any) -> Any:
    """The value the test sees: typed, normalised, transformed; None if missing or mistyped."""
    return TRANSFORMS[reading.transform](GUARDS[reading.wanted](raw(reading, facts)))
