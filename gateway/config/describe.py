"""What was found and what is wanted, in the words of the person who edits the file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

from msgspec import inspect

from gateway.config.secret import HOW, Secret

SHOWN_CHARACTERS = 60


def shown(raw: object) -> str:
    """Return a value as TOML writes it, cut short; tables and lists only by their kind."""
    match raw:
        case bool():
            return "true" if raw else "false"
        case str():
            text = raw if len(raw) <= SHOWN_CHARACTERS else raw[: SHOWN_CHARACTERS - 1] + "…"
            return json.dumps(text, ensure_ascii=False)
        case int() | float():
            return str(raw)
        case list():
            return f"a list of {len(raw)}" if raw else "an empty list"
        case dict():
            return "a table"
        case _:
            return str(raw)


def similar(word: str, known: Iterable[str]) -> str:
    """Return 'Did you mean "x"?' for the nearest known word, or '', also for a word that is known itself."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'Did you mean "{near[0]}"?' if near and near[0] != word else ""


def described(wanted: Any) -> str:
    """Return what a type accepts, for the end of the sentence "it must be …"."""
    return _type(inspect.type_info(wanted))


def _type(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _type(kind.type)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            return _number(kind)
        case inspect.StrType():
            return _text(kind)
        case inspect.LiteralType():
            return _either([json.dumps(value) for value in kind.values])
        case inspect.ListType() | inspect.VarTupleType() | inspect.FrozenSetType():
            least = f" (at least {kind.min_length})" if kind.min_length else ""
            return f"a list{least}, each {_type(kind.item_type)}"
        case inspect.DictType() | inspect.StructType():
            return "a table"
        case inspect.UnionType():
            return _either([_type(t) for t in kind.types if not isinstance(t, inspect.NoneType)])
        case inspect.CustomType() if kind.cls is Secret:
            return HOW
        case _:
            return "another kind of value"


def _text(kind: inspect.StrType) -> str:
    if kind.pattern:
        return f"text that matches {kind.pattern}"
    least, most = kind.min_length or 0, kind.max_length
    if most is None:
        return "text in quotes" + (", not empty" if least else "")
    return f"text in quotes of {f'{least} to ' if least < most else ''}{most} character{'' if most == 1 else 's'}"


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    if kind.ge is not None and kind.le is not None:
        return f"{noun} from {kind.ge} to {kind.le}"
    bounds = [("above", kind.gt), ("of at least", kind.ge), ("below", kind.lt), ("of at most", kind.le)]
    said = [f"{words} {bound:g}" for words, bound in bounds if bound is not None]
    return " ".join([noun, " and ".join(said)]) if said else noun


def _either(choices: list[str]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else "".join(choices)
