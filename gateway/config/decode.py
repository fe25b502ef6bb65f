"""A table read from TOML → a frozen struct, or every fault in it with its dotted path.

msgspec names only the first error of a value, so tables, lists and maps are walked here
and only the leaves are left to it. Faults are gathered, never raised: a part that is
faulty comes back as `FAULTY`, and what holds it is not built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from gateway.config.describe import described, shown, similar
from gateway.config.secret import Secret
from gateway.errors import SettingError, SettingErrors

FAULTY: Final = object()
ReadSecret = Callable[[object, str], Secret]


class Gather:
    """Collects the faults of one load; `secret` says how a secret is read where one is met."""

    def __init__(self, secret: ReadSecret, problems: list[SettingError] | None = None) -> None:
        self.problems: list[SettingError] = [] if problems is None else problems
        self.secret = secret

    def add(self, place: str, found: str, wanted: str, hint: str = "") -> None:
        """Note one fault."""
        self.problems.append(SettingError(place, found=found, wanted=wanted, hint=hint))

    def reading(self, secret: ReadSecret) -> Gather:
        """Return a view on the same faults that reads secrets in another way."""
        return Gather(secret, self.problems)


def struct(raw: object, shape: type[msgspec.Struct], place: str, gather: Gather) -> Any:
    """Build `shape` from a table, or note all faults in it and return `FAULTY`."""
    if not isinstance(raw, Mapping):
        gather.add(place, shown(raw), "a table")
        return FAULTY
    before = len(gather.problems)
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    unknown_keys(raw, list(fields), place, gather)
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in raw:
            values[field.name] = value(raw[key], field.type, joined(place, key), gather)
        elif field.required:
            values[field.name] = FAULTY
            gather.add(joined(place, key), "missing", described(field.type))
    built = _built(shape, values, place, gather)
    return FAULTY if len(gather.problems) > before else built


def value(raw: object, wanted: Any, place: str, gather: Gather) -> Any:
    """Convert one value to the type `wanted`, or note what is wrong with it and return `FAULTY`."""
    plain = _plain(wanted)
    if plain is Secret:
        return _secret(raw, place, gather)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        return struct(raw, plain, place, gather)
    origin = get_origin(plain)
    if origin in (tuple, list, frozenset) and isinstance(raw, list):
        items = [value(item, get_args(plain)[0], f"{place}[{i}]", gather) for i, item in enumerate(raw)]
        return FAULTY if any(item is FAULTY for item in items) else _leaf(items, wanted, place, gather, kept=origin)
    if origin is dict and isinstance(raw, Mapping):
        entries = {k: value(v, get_args(plain)[1], joined(place, k), gather) for k, v in raw.items()}
        return FAULTY if any(entry is FAULTY for entry in entries.values()) else entries
    return _leaf(raw, wanted, place, gather)


def unknown_keys(raw: Mapping[str, Any], known: list[str], place: str, gather: Gather) -> None:
    """Note every key of a table that is not `known`, with the nearest one that is."""
    for key in raw:
        if key not in known:
            where = f"a setting of [{place}]" if place else "a section of oclaw.toml"
            gather.add(joined(place, key), "unknown", where, similar(key, known))


def joined(place: str, key: str) -> str:
    """Return the dotted path of `key` within `place`, quoted where TOML would quote it."""
    bare = key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else json.dumps(key)
    return f"{place}.{bare}" if place else bare


def _built(shape: type[msgspec.Struct], values: dict[str, Any], place: str, gather: Gather) -> Any:
    """Build the struct, whose `__post_init__` checks what hangs together and names its own fields.

    Faulty fields take their defaults, so that those checks run all the same; what they then say about such a
    field would only be noise.
    """
    faulty = {name for name, one in values.items() if one is FAULTY}
    if any(field.required and field.name in faulty for field in msgspec.structs.fields(shape)):
        return FAULTY
    try:
        return shape(**{name: one for name, one in values.items() if name not in faulty})
    except (SettingError, SettingErrors) as error:
        for one in error.problems if isinstance(error, SettingErrors) else [error]:
            if not any(one.place.startswith(name) for name in faulty):
                gather.add(f"{place}.{one.place}" if place else one.place, one.found, one.wanted, one.hint)
    except ValueError as error:
        gather.add(place, "not consistent", "so that its settings fit together", str(error))
    return FAULTY


def _secret(raw: object, place: str, gather: Gather) -> Any:
    try:
        return gather.secret(raw, place)
    except SettingError as error:
        gather.problems.append(error)
        return FAULTY


def _plain(wanted: Any) -> Any:
    """Strip `Annotated` and `| None` (TOML has no null), which leave the walk as it is."""
    while get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    members = [member for member in get_args(wanted) if member is not type(None)]
    if len(members) == 1 and len(get_args(wanted)) == 2 and type(None) in get_args(wanted):
        return _plain(members[0])
    return wanted


def _leaf(raw: Any, wanted: Any, place: str, gather: Gather, kept: Any = None) -> Any:
    if kept is not None and not _bounded(wanted):
        return kept(raw)
    try:
        return msgspec.convert(raw, wanted)
    except msgspec.ValidationError:
        gather.add(place, shown(raw), described(wanted))
        return FAULTY


def _bounded(wanted: Any) -> bool:
    return get_origin(wanted) is Annotated
