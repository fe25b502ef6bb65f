"""Examine a configuration folder: settings, plugins, pipelines, rules. Every fault as one text.

Each part is examined whatever the others hold, so that an operator mends all of it in one go. Channels, hooks and
providers are built (which reads word lists and answer files) and never run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gateway.config.describe import similar
from gateway.config.load import load
from gateway.config.outline import Outline, outline
from gateway.config.rule_files import RuleLoader, read_rules
from gateway.config.secret import Secret
from gateway.config.settings import Settings
from gateway.errors import PluginError, SettingError, SettingErrors
from gateway.flow.vocabulary import vocabulary
from gateway.pipelines import spec
from gateway.plugins import PluginTable
from gateway.ports import Kit
from rules import Rejected
from rules import load as load_rules


class Found(Struct, frozen=True):
    """All faults, what an operator should know besides, and what was examined."""

    faults: list[str]
    notes: list[str]
    checked: list[str]


def examine(directory: Path) -> Found:
    """Return everything that is wrong in a configuration folder."""
    table = PluginTable(directory / "hooks")
    faults: list[str] = []
    notes: list[str] = []
    try:
        settings = load(directory, table)
        faults += [str(fault) for fault in _unbuildable(settings, table)]
        notes += _missing_secrets(settings)
    except SettingErrors as error:
        faults += [str(problem) for problem in error.problems]
    names = outline(directory)
    pipelines, wrong = _pipelines(names, table)
    faults += [str(fault) for fault in wrong]
    files = read_rules(names.rules_dir)
    faults += _rules(names, files, pipelines)
    counts = [_count(len(pipelines), "pipeline"), _count(len(files), "rule file")]
    return Found(faults, notes, ["oclaw.toml", *counts])


def _unbuildable(settings: Settings, table: PluginTable) -> Iterator[SettingError]:
    kit = Kit(
        report=lambda notice: None,
        now=time.time,
        random=os.urandom,
        http=None,
        config_dir=str(settings.directory),
        state_dir=str(settings.state_dir),
    )
    for channel in settings.channels.values():
        if channel.enabled:
            yield from _tried(f"channels.{channel.name}", table, "channels", channel.type, channel.name, channel, kit)
    for model in settings.models.values():
        yield from _tried(f"models.{model.name}", table, "providers", model.provider, model.name, model, kit)
    for chain, hooks in (("inbound", settings.hooks.inbound), ("outbound", settings.hooks.outbound)):
        for index, hook in enumerate(hooks):
            if ":" not in hook.use:
                yield from _tried(f"hooks.{chain}[{index}]", table, "hooks", hook.use, None, hook, kit)


def _tried(
    place: str, table: PluginTable, kind: Any, plugin: str, name: str | None, entry: Any, kit: Kit
) -> Iterator[SettingError]:
    arguments = (entry.settings, kit) if name is None else (name, entry.settings, kit)
    try:
        table.build(kind, plugin, *arguments)
    except SettingError as error:
        yield error
    except SettingErrors as error:
        yield from error.problems
    except PluginError as error:
        yield SettingError(place, found=f'"{plugin}"', wanted=str(error))
    except Exception as error:  # a third party's `build` may raise anything; the rest is examined all the same
        yield SettingError(
            place, found=f"failing with {type(error).__name__}: {error}", wanted=f"a {plugin} that builds"
        )


def _missing_secrets(settings: Settings) -> list[str]:
    notes = []
    for channel in settings.channels.values():
        sources = [secret.source for secret in _secrets(channel.settings)]
        if sources and not channel.enabled:
            notes.append(f"channels.{channel.name} is switched off; it needs {', '.join(sources)} to be switched on")
    return notes


def _secrets(value: Any) -> Iterator[Secret]:
    match value:
        case Secret():
            yield value
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from _secrets(getattr(value, name))
        case tuple() | list():
            for item in value:
                yield from _secrets(item)
        case dict():
            for item in value.values():
                yield from _secrets(item)


def _pipelines(names: Outline, table: PluginTable) -> tuple[list[str], list[SettingError]]:
    """Return the names of all pipeline files, also of faulty ones: a rule that names one is not wrong itself."""
    found: list[str] = []
    faults: list[SettingError] = []
    for path in sorted(names.pipelines_dir.glob("*.yaml")):
        found.append(path.stem)
        place = f"{names.pipelines_dir.name}/{path.name}"
        try:
            parsed = spec.parse(place, path.stem, path.read_text("utf-8"), names.models)
        except (OSError, UnicodeDecodeError) as error:
            parsed = [SettingError(place, found=f"not readable ({error})", wanted="a YAML file in UTF-8")]
        faults += parsed if isinstance(parsed, list) else _functions(place, parsed, table)
    wanted = names.default_pipeline
    if wanted and wanted not in found:
        files = f"the name of a file in {names.pipelines_dir} without .yaml"
        faults.append(
            SettingError("gateway.default_pipeline", found=f'"{wanted}"', wanted=files, hint=similar(wanted, found))
        )
    return found, faults


def _functions(place: str, pipeline: spec.Pipeline, table: PluginTable) -> Iterator[SettingError]:
    for index, step in enumerate(pipeline.pipeline):
        if step.function:
            try:
                table.hook_function(step.function)
            except PluginError as error:
                yield SettingError(
                    f"{place}: pipeline[{index}].function", found=f'"{step.function}"', wanted=str(error)
                )


def _rules(names: Outline, files: dict[str, bytes], pipelines: list[str]) -> list[str]:
    words = vocabulary(pipelines=pipelines, models=names.models, channels=names.channels)
    made = load_rules(files, words, RuleLoader(names.rules_dir, names.time_zone))
    return [problem.render() for problem in made.problems] if isinstance(made, Rejected) else []


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
