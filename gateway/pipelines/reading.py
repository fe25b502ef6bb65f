"""The text of a pipeline file → a `Pipeline`, or everything that is wrong with it at once.

Pure: text in, values out. A setting of the wrong type takes its default for what hangs together (`checking.py`),
so that one fault hides no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from gateway.errors import SettingError
from gateway.pipelines.checking import Known, check
from gateway.pipelines.faults import Faults, meant, short
from gateway.pipelines.spec import Pipeline, StepSpec
from gateway.pipelines.written import WHOLE, Path, Written, dotted, kind, read


def parse(
    file: str,
    name: str,
    text: str,
    models: Collection[str],
    *,
    workers: Collection[str] | None = None,
    function: Callable[[str, str], list[SettingError]] | None = None,
) -> Pipeline | list[SettingError]:
    """Read one pipeline file; `file` is its name as errors show it, `models` and `workers` are the names that exist.

    `function` says of a place and a reference what is wrong with the function. What is None is not looked at.
    """
    faults = Faults(file)
    written = read(text, faults)
    made = None if written is None else _pipeline(name, written, Known(models, workers, function))
    return faults.told() if made is None or len(faults) else made


def _pipeline(name: str, written: Written, known: Known) -> Pipeline | None:
    if not isinstance(written.value, Mapping):
        written.wrong((), found=kind(written.value), wanted=WHOLE)
        return None
    head = {key: value for key, value in written.value.items() if key not in ("pipeline", "name")}
    values, _ = _settings((), head, Pipeline, written)
    steps = written.value.get("pipeline")
    if not isinstance(steps, list) or not steps:
        found = "missing" if "pipeline" not in written.value else "an empty list" if steps == [] else kind(steps)
        written.wrong(("pipeline",), found=found, wanted="a list of steps")
        return None
    specs: list[StepSpec] = []
    earlier: dict[str, None] = {}
    for index, raw in enumerate(steps):
        if written.faults.full:
            break
        if isinstance(raw, Mapping):
            specs.append(_step(("pipeline", index), raw, earlier, written, known))
            earlier[specs[-1].name] = None
        else:
            written.wrong(("pipeline", index), found=kind(raw), wanted="a mapping of settings")
    return Pipeline(**values, name=name, pipeline=specs)


def _step(path: Path, raw: Mapping[Any, Any], earlier: Collection[str], written: Written, known: Known) -> StepSpec:
    values, faulty = _settings(path, raw, StepSpec, written)
    misspelt = faulty - set(StepSpec.__struct_fields__)  # its name is one of these, perhaps
    if not values.get("name") and "name" not in faulty and not misspelt:
        written.faults.add(written.at(*path), dotted((*path, "name")), found="missing", wanted="the step's name")
    spec = StepSpec(**({"name": ""} | values))
    check(spec, path, earlier, faulty, written, known)
    return spec


def _settings(
    path: Path, raw: Mapping[Any, Any], shape: type[Any], written: Written
) -> tuple[dict[str, Any], set[str]]:
    """Return the settings that are right, and the names of those that are not."""
    types = {field.name: field.type for field in msgspec.structs.fields(shape)}
    values: dict[str, Any] = {}
    faulty: set[str] = set()
    for key, value in raw.items():
        place = (*path, str(key))
        if written.faults.full:
            break
        if key not in types:
            hint, wanted = meant(str(key), list(types)), f"one of {', '.join(types)}"
            written.faults.add(written.named(*place), dotted(place), found="no setting", wanted=wanted, hint=hint)
            faulty.add(str(key))
            continue
        try:
            values[key] = msgspec.convert(value, types[key])
        except msgspec.ValidationError as error:
            faulty.add(key)
            _wrong(place, value, str(error), written)
    return values, faulty


def _wrong(path: Path, raw: Any, error: str, written: Written) -> None:
    """Tell of a value that is not of its type; of a list or mapping, which hold texts, by what in it is none."""
    odd = {key: item for key, item in _items(raw) if not isinstance(item, str)}
    for key, item in odd.items():
        if not written.faults.full:
            _wrong((*path, key), item, "a text", written)
    named = [key for key in raw if not isinstance(key, str)] if isinstance(raw, Mapping) else []
    if named:  # `on` and `no` are values to YAML
        found, wanted = f"giving {kind(named[0])} ({named[0]}) as a name", "a mapping of texts"
        written.wrong(path, found=found, wanted=wanted, hint="Put the name in quotes.")
    elif not odd:
        wanted = _wanted(error)
        plain = raw is not None and not isinstance(raw, list | Mapping)
        hint = "Put it in quotes." if plain and wanted.startswith("a text") else ""
        written.wrong(path, found=_found(raw, written.text(*path)), wanted=wanted, hint=hint)


def _items(raw: Any) -> list[tuple[Any, Any]]:
    if isinstance(raw, Mapping):
        return [(key, value) for key, value in raw.items() if isinstance(key, str)]
    return list(enumerate(raw)) if isinstance(raw, list) else []


def _found(raw: Any, text: str) -> str:
    if isinstance(raw, str):
        return json.dumps(short(raw), ensure_ascii=False)
    return kind(raw) if raw is None or isinstance(raw, list | Mapping) else short(text)


def _wanted(error: str) -> str:
    """Turn msgspec's sentence into the end of ours."""
    wanted = error.removeprefix("Expected ").split(", got")[0].split(" - at")[0]
    words = {"str": "a text", "int": "a whole number", "float": "a number", "array": "a list"}
    words |= {"object": "a mapping", "bool": "true or false"}

    def plain(found: re.Match[str]) -> str:  # "`float | null`"
        return " or ".join([words.get(each, each) for each in found[1].split(" | ") if each != "null"])

    return re.sub("`(.+?)`", plain, wanted)
