"""Examine a configuration folder: settings, plugins, pipelines, rules. Every fault as one text.

What the daemon would build is built (which reads word lists, answer files and certificates) and never run. When
settings are faulty, the other channels, models and hooks are built all the same, and pipelines and rules examined
against the names that stand in oclaw.toml.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.config.load import load
from gateway.config.outline import outline
from gateway.config.secret import Secret
from gateway.config.settings import (
    AccessSettings,
    ChannelEntry,
    FolderSettings,
    GatewaySettings,
    HookChains,
    HookEntry,
    ModelEntry,
    Settings,
)
from gateway.daemon.build import build
from gateway.daemon.certificate import tls_context, tls_files
from gateway.errors import SettingError, SettingErrors
from gateway.hooks import max_length
from gateway.models import echo
from gateway.plugins import PluginTable
from gateway.ports import Kit

# Where systemd puts what it passes to a service; a path in oclaw.toml may name it (systemd/README.md).
_CREDENTIALS = Path("/run/credentials")


class Found(Struct, frozen=True):
    """All faults, what an operator should know besides, and what was examined."""

    faults: list[str]
    notes: list[str]
    checked: list[str]


def examine(directory: Path) -> Found:
    """Return everything that is wrong in a configuration folder."""
    table = PluginTable(directory / "hooks")
    faults: list[SettingError] = []
    notes: list[str] = []
    try:
        settings = load(directory, table, beside=True)
    except SettingErrors as error:
        faults += error.problems
        if not outline(directory).known:  # whatever refers to a name would seem wrong
            return Found([str(fault) for fault in faults], notes, ["oclaw.toml"])
        settings = _with_sound(by_name(directory), error.sound)
    settings, left = _without_credentials(settings)
    notes += [f"{place} {why}" for place, why in left.items()]
    notes += _missing_secrets(settings, left)
    for tried in (lambda: tls_context(settings), lambda: build(settings, table, _kit(settings))):
        try:
            tried()
        except SettingErrors as error:
            faults += error.problems
    rules, pipelines = (
        len(list(d.glob(g))) for d, g in ((settings.rules_dir, "*.rules"), (settings.pipelines_dir, "*.y*ml"))
    )
    checked = ["oclaw.toml", _count(pipelines, "pipeline"), _count(rules, "rule file")]
    return Found([str(fault) for fault in faults], notes, checked)


def tryable(directory: Path, table: PluginTable) -> tuple[Settings, dict[str, str]]:
    """Return the settings without what needs a credential that only the service is given, and why, by its place.

    Raises `SettingErrors`.
    """
    return _without_credentials(load(directory, table, beside=True))


def _without_credentials(settings: Settings) -> tuple[Settings, dict[str, str]]:
    why = "which systemd passes to the service alone: it is not tried here"
    entries = {f"channels.{name}": entry.settings for name, entry in settings.channels.items() if entry.enabled}
    entries |= {f"models.{name}": entry.settings for name, entry in settings.models.items()}
    unread = {place: [s.source for s in _secrets(own) if not s.known] for place, own in entries.items()}
    left = {place: f"needs {', '.join(sources)}, {why}" for place, sources in unread.items() if sources}
    passed = [str(file) for file in tls_files(settings) if _CREDENTIALS in file.parents]
    if passed and "CREDENTIALS_DIRECTORY" not in os.environ:
        left["listen"] = f"needs {', '.join(passed)}, {why}"
        without = replace(settings.listen, tls_certificate="", tls_key="", tls_client_authorities="")
        settings = replace(settings, listen=without)
    channels = {
        name: replace(entry, enabled=False) if f"channels.{name}" in left else entry
        for name, entry in settings.channels.items()
    }
    model = echo.Settings()
    models = {
        name: replace(entry, provider="echo", settings=model) if f"models.{name}" in left else entry
        for name, entry in settings.models.items()
    }
    return replace(settings, channels=channels, models=models), left


def by_name(directory: Path) -> Settings:
    """Return settings in which everything has its name and nothing of its own: enough to examine what refers to it."""
    names = outline(directory)
    model = echo.Settings()
    return Settings(
        directory=directory,
        state_dir=directory,
        gateway=GatewaySettings(default_pipeline=names.default_pipeline, time_zone=names.time_zone),
        channels={name: ChannelEntry(name=name, type="webhook", enabled=False) for name in names.channels},
        models={name: ModelEntry(name=name, provider="echo", settings=model) for name in names.models},
        access=AccessSettings(workers={name: Secret(f"env:{name}") for name in names.workers}),
        rules=FolderSettings(dir=names.rules_dir),
        pipelines=FolderSettings(dir=names.pipelines_dir),
    )


def _with_sound(named: Settings, sound: Mapping[str, Any]) -> Settings:
    """Put in what nothing is wrong with. A hook stands in for a faulty one, so that the others keep their places."""
    other = HookEntry(use="max_length", settings=max_length.Settings())
    chains = {name: tuple(hook or other for hook in sound.get(name, ())) for name in ("inbound", "outbound")}
    return replace(
        named,
        channels={**named.channels, **sound.get("channels", {})},
        models={**named.models, **sound.get("models", {})},
        hooks=HookChains(**chains),
    )


def _kit(settings: Settings) -> Kit:
    return Kit(
        report=lambda notice: None,
        now=time.time,
        random=os.urandom,
        http=None,
        config_dir=str(settings.directory),
        state_dir=str(settings.state_dir),
    )


def _missing_secrets(settings: Settings, left: dict[str, str]) -> list[str]:
    notes = []
    for channel in settings.channels.values():
        sources = [secret.source for secret in _secrets(channel.settings)]
        if sources and not channel.enabled and f"channels.{channel.name}" not in left:
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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
