"""The names in oclaw.toml, read leniently: enough to check rules and pipelines beside a faulty file.

`load` refuses a file with any fault; a check of everything at once still wants to know which models,
channels and folders are meant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.config.load import FILE
from gateway.config.settings import known_zone
from gateway.plainfile import read_plain_text


class Outline(Struct, frozen=True, kw_only=True):
    """What is named, without a word on whether it is right. `models` holds tasks too: both are names a step may use.

    Where the file is missing or no TOML nothing is known, and what refers to a name can not be judged.
    """

    known: bool = True
    channels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    default_pipeline: str = ""
    time_zone: str = "UTC"
    rules_dir: str
    pipelines_dir: str


def outline(directory: Path) -> Outline:
    """Read the names; a file that is missing or no TOML names nothing, a time zone that is none is UTC."""
    try:
        raw = tomllib.loads(read_plain_text(directory / FILE))
        known = True
    except (OSError, ValueError, RecursionError):  # both a decoding and a syntax error are ValueErrors
        raw, known = {}, False
    models = _table(raw, "models")
    tasks = [task for entry in models.values() if isinstance(entry, Mapping) for task in _texts(entry.get("tasks"))]
    zone = _text(_table(raw, "gateway").get("time_zone"), "UTC")
    return Outline(
        known=known,
        channels=tuple(_table(raw, "channels")),
        models=(*models, *tasks),
        workers=tuple(_table(_table(raw, "access"), "workers")),
        default_pipeline=_text(_table(raw, "gateway").get("default_pipeline"), ""),
        time_zone=zone if known_zone(zone) else "UTC",
        rules_dir=_text(_table(raw, "rules").get("dir"), "rules.d"),
        pipelines_dir=_text(_table(raw, "pipelines").get("dir"), "pipelines.d"),
    )


def _table(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = raw.get(key)
    return section if isinstance(section, Mapping) else {}


def _text(raw: object, default: str) -> str:
    return raw if isinstance(raw, str) and raw else default


def _texts(raw: object) -> list[str]:
    return [item for item in raw if isinstance(item, str)] if isinstance(raw, list) else []
