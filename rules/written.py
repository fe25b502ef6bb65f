"""Write actions the way a rule file has them: for explanations, traces and the failures of tests."""

from __future__ import annotations

from typing import Any  # argument values of every type

from rules import core
from rules.decision import Action
from rules.tokens import quote
from rules.vocabulary import ActionSpec, ParamKind, Scope

_NO_SPEC = ActionSpec()
# The largest unit that leaves no rest is the one a person would have written.
_DURATIONS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
_SIZES = (("MB", 1024 * 1024), ("KB", 1024))


def written(action: Action, scope: Scope | None, *, per: bool = True) -> str:
    """An action with the values it got; `scope` tells durations and sizes from plain numbers."""
    spec = scope.actions.get(action.name, _NO_SPEC) if scope else _NO_SPEC
    kinds = {param.name: param.kind for param in spec.params}
    given = [
        _value(part, kinds.get(key, "any"))
        for key, value in action.args.items()
        for part in (value if isinstance(value, tuple) else (value,))
    ]
    key = f" PER {_value(action.per, 'any')}" if per and action.per is not None else ""
    return f"{action.name}({', '.join(given)}){key}"


def _value(value: Any, kind: ParamKind) -> str:
    match value:
        case None:
            return "MISSING"
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return quote(value)
        case int() | float() if kind == "duration":
            return _duration(value)
        case int() if kind == "size":
            return next((f"{value // size}{unit}" for unit, size in _SIZES if value and value % size == 0), str(value))
        case float() if value.is_integer():
            return str(int(value))
        case core.Rate():
            return quote(f"{value.count}/{_duration(value.seconds)}")
        case core.FieldRef():
            return value.field + "".join(_key(key) for key in value.keys)
        case _:
            return str(value)


def _duration(seconds: float) -> str:
    if seconds == 0:
        return "0s"
    for unit, length in _DURATIONS:
        count = seconds / length
        if count >= 1 and round(count, 6).is_integer():
            return f"{round(count)}{unit}"
    return f"{seconds:g}s"


def _key(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{quote(key)}]"
