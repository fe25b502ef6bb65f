"""Facts whose host broke its promise about types, made safe to evaluate.

Fields marked `exact` are read without a check. Should the facts hold another type after all, the
evaluation raises once and is repeated on this view, which answers None for every such value, as
the language does for any wrong type. A field that is promised to be there (`always`) has no such
answer: it counts as empty, and a number as one that compares with nothing.
"""

from __future__ import annotations

from typing import Any  # facts are the host's own objects

from rules.values import GUARDS
from rules.vocabulary import Field, Scope


def guarded(facts: Any, scope: Scope) -> Any:
    """A view of `facts` in which every field has its type or is None."""
    mapped = {name: field for name, field in scope.fields.items() if not field.path}
    if mapped:
        get = facts.get if isinstance(facts, dict) else lambda _name: None
        return {name: _checked(field, get(name)) for name, field in mapped.items()}
    return _View(facts, {_names(field.path): field for field in scope.fields.values()}, ())


class _View:
    """Attributes of an object along the vocabulary's paths."""

    def __init__(self, held: Any, fields: dict[tuple[str, ...], Field], path: tuple[str, ...]) -> None:
        self._held, self._fields, self._path = held, fields, path

    def __getattr__(self, name: str) -> Any:
        path = (*self._path, name)
        value = getattr(self._held, name, None)
        if path in self._fields:
            return _checked(self._fields[path], value)
        return _View(value, self._fields, path)


def _names(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([part.removesuffix("?") for part in path])


def _checked(field: Field, value: Any) -> Any:
    if field.kind == "dynamic":
        return value if isinstance(value, dict) else None
    checked = GUARDS[field.kind](value)
    return _EMPTY[field.kind] if checked is None and field.always else checked


_EMPTY = {"text": "", "number": float("nan"), "boolean": False, "list": ()}
