"""From settings to parts: channels, hook chains, models, pipelines, rules; or everything that is wrong.

Nothing here serves yet and nothing that serves is touched, so `oclaw check`, the start and a reload
all use it: build first, then swap whole.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio
from msgspec import Struct

from gateway.config.settings import HookEntry, Settings
from gateway.daemon.rulebuild import Breath, Compiled, Wrong, compiled, recompiled, words_of
from gateway.daemon.rulefiles import FolderLoader, read_rules
from gateway.errors import PluginError, SettingError, SettingErrors, in_words, stays_contained, unreadable
from gateway.flow.actions import InstalledAction
from gateway.flow.hooks import Link
from gateway.models.registry import Models
from gateway.pipelines.reading import parse
from gateway.pipelines.spec import Pipeline
from gateway.pipelines.written import MOST_CHARACTERS
from gateway.plainfile import read_plain_text
from gateway.plugins import PluginTable
from gateway.ports import Channel, Kit, Traits
from rules import ActionSpec, Ruleset, Vocabulary


class Parts(Struct, frozen=True, kw_only=True):
    """Everything that a configuration asks for, built and checked."""

    settings: Settings
    channels: dict[str, Channel]
    models: Models
    pipelines: dict[str, Pipeline]
    inbound: tuple[Link, ...]
    outbound: tuple[Link, ...]
    ruleset: Ruleset
    rule_files: dict[str, bytes]
    functions: dict[str, Callable[..., Any]]
    actions: dict[str, InstalledAction] = {}
    rules_done: Compiled | None = None


def build(settings: Settings, plugins: PluginTable, kit: Kit, old: Parts | None = None) -> Parts:
    """Build all parts. Raises `SettingErrors` with every problem of every part; blocks on the disk.

    `old` are the parts that serve: their rules are compiled again at the price of what was edited.
    """
    problems: list[SettingError] = []
    models = _models(settings, plugins, kit, problems)
    names = {*settings.models, *(task for entry in settings.models.values() for task in entry.tasks)}
    paths = _pipeline_files(settings.pipelines_dir, problems)
    functions = _Functions(plugins)
    pipelines = _pipelines(paths or [], settings, names, functions, problems)
    channels = _channels(settings, plugins, kit, problems)
    chains = [
        _chain(stage, entries, settings, plugins, kit, problems)
        for stage, entries in (("inbound", settings.hooks.inbound), ("outbound", settings.hooks.outbound))
    ]
    if paths is None:  # whatever names a pipeline would seem wrong
        raise SettingErrors(problems)
    # A pipeline with a fault has its own fault told; that rules and settings name it is none besides.
    named = {path.stem for path in paths}
    _check_default(settings, named, problems)
    words = partial(words_of, settings, named, names)
    rule_files, done, actions = _rules(settings, plugins, words, old, problems)
    if problems or done is None:
        if done is not None and old is not None:
            done.ruleset.discard(old.ruleset, Breath())
        raise SettingErrors(problems)
    return Parts(
        settings=settings,
        channels=channels,
        models=models,
        pipelines=pipelines,
        inbound=chains[0],
        outbound=chains[1],
        ruleset=done.ruleset,
        rules_done=done,
        rule_files=rule_files,
        actions=actions,
        functions=functions.found,
    )


class WrongRules(SettingError):
    """The problems of rule files, already in their own form: place, line, caret, way out."""

    def __init__(self, text: str) -> None:
        super().__init__("rules", found="wrong", wanted="right")
        self.args = (text,)


def _rules(
    settings: Settings,
    plugins: PluginTable,
    words: Callable[[Mapping[str, InstalledAction]], Vocabulary],
    old: Parts | None,
    problems: list[SettingError],
) -> tuple[dict[str, bytes], Compiled | None, dict[str, InstalledAction]]:
    try:
        files = read_rules(settings.rules_dir)
    except OSError as error:
        place = os.fspath(error.filename or settings.rules_dir)
        wanted = "a folder" if place == os.fspath(settings.rules_dir) else "a file"
        readable = f"{wanted} that the gateway's user may read"
        problems.append(SettingError(place, found=f"not readable ({error.strerror})", wanted=readable))
        return {}, None, {}
    actions = old.actions if old is not None else {}
    done = _compiled(settings, files, words(actions), old)
    if isinstance(done, Wrong) and not actions:
        # Looking through what is installed takes 20 ms, so it waits for rules that fail without it.
        actions = _installed(plugins, problems)
        done = _compiled(settings, files, words(actions), old) if actions else done
    if isinstance(done, Wrong):
        problems += [WrongRules(problem) for problem in done.problems]
        return files, None, {}
    return files, done, dict(actions)


def _compiled(settings: Settings, files: dict[str, bytes], words: Vocabulary, old: Parts | None) -> Compiled | Wrong:
    if old is not None:
        before = old.settings
        if (before.rules_dir, before.gateway.time_zone) == (settings.rules_dir, settings.gateway.time_zone):
            return recompiled(old.ruleset, old.rule_files, files, words)
    return compiled(files, words, FolderLoader(settings.rules_dir, settings.gateway.time_zone))


def _installed(plugins: PluginTable, problems: list[SettingError]) -> dict[str, InstalledAction]:
    found = {}
    for name in plugins.names("actions"):
        action = _built(f"the action {name}", problems, plugins.find, "actions", name)
        if action is None:
            continue
        if isinstance(getattr(action, "spec", None), ActionSpec) and callable(getattr(action, "apply", None)):
            found[name] = action
        else:
            wanted = "a package whose action has `spec`, a rules.ActionSpec, and `apply`"
            problems.append(SettingError(f"the action {name}", found="not usable", wanted=wanted))
    return found


def _models(settings: Settings, plugins: PluginTable, kit: Kit, problems: list[SettingError]) -> Models:
    built = {}
    for name, entry in settings.models.items():
        provider = _built(
            f"models.{name}", problems, plugins.build, "providers", entry.provider, name, entry.settings, kit
        )
        if provider is not None:
            built[name] = provider
    tasks: dict[str, str] = {}
    for name, entry in settings.models.items():
        for task in entry.tasks:
            first = tasks.setdefault(task, name)
            if first != name:
                wanted = f"a task of one model, and models.{first} has it"
                problems.append(SettingError(f"models.{name}.tasks", found=f'"{task}"', wanted=wanted))
    return Models(built, tasks)


def _channels(settings: Settings, plugins: PluginTable, kit: Kit, problems: list[SettingError]) -> dict[str, Channel]:
    built = {}
    for name, entry in settings.channels.items():
        if entry.enabled:
            channel = _built(
                f"channels.{name}", problems, plugins.build, "channels", entry.type, name, entry.settings, kit
            )
            if channel is not None and _is_channel(name, channel, problems):
                built[name] = channel
    return built


def _is_channel(name: str, built: Any, problems: list[SettingError]) -> bool:
    """Look at what a plugin made before anything relies on it."""
    lacking = [part for part in ("name", "platform", "run", "deliver", "address_of") if not hasattr(built, part)]
    if not isinstance(getattr(built, "traits", None), Traits):
        lacking.append("traits")
    if lacking:
        wanted = "a channel as gateway.ports.Channel describes it"
        problems.append(SettingError(f"channels.{name}", found=f"made without {', '.join(lacking)}", wanted=wanted))
    return not lacking


def _chain(
    stage: str,
    entries: tuple[HookEntry, ...],
    settings: Settings,
    plugins: PluginTable,
    kit: Kit,
    problems: list[SettingError],
) -> tuple[Link, ...]:
    links = []
    for index, entry in enumerate(entries):
        call = _built(f"hooks.{stage}[{index}]", problems, _hook, entry, plugins, kit)
        if call is not None:
            links.append(_link(entry, call, settings))
    return tuple(links)


def _hook(entry: HookEntry, plugins: PluginTable, kit: Kit) -> Callable[..., Any]:
    if entry.mode == "isolated":
        from gateway.hooks.isolated import isolated

        return isolated(entry.use, kit)
    if ":" in entry.use:
        return plugins.hook_function(entry.use)
    hook: Callable[..., Any] = plugins.build("hooks", entry.use, entry.settings, kit)
    return hook


def _link(entry: HookEntry, call: Callable[..., Any], settings: Settings) -> Link:
    flow = settings.flow
    return Link(
        name=entry.use,
        call=call,
        takes_context=_takes_context(call),
        is_async=inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__),
        mode="slow" if entry.mode == "slow" else "loop",
        policy=entry.policy,
        deadline_seconds=(entry.deadline_ms or flow.hook_deadline_ms) / 1000,
        overrun=flow.overrunning_hook,
        overruns_allowed=flow.hook_overruns,
        channels=frozenset(entry.only),
        tell=entry.tell,
    )


def _takes_context(call: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


class _Functions:
    """The operator's functions that steps name, by their references."""

    def __init__(self, plugins: PluginTable) -> None:
        self._plugins = plugins
        self.found: dict[str, Callable[..., Any]] = {}

    def look(self, place: str, reference: str) -> list[SettingError]:
        """Find a function; return what is wrong with it at its place."""
        problems: list[SettingError] = []
        function = _built(place, problems, self._plugins.hook_function, reference, 1)
        if function is not None:
            self.found[reference] = function
        return problems


def _pipelines(
    paths: list[Path], settings: Settings, models: set[str], functions: _Functions, problems: list[SettingError]
) -> dict[str, Pipeline]:
    pipelines: dict[str, Pipeline] = {}
    for path in paths:
        place, workers = f"{path.parent.name}/{path.name}", settings.access.workers
        text = _pipeline_text(path, place, problems)
        if text is None:
            continue
        parsed = parse(place, path.stem, text, models, workers=workers, function=functions.look)
        if path.stem in pipelines:  # a.yaml beside a.yml: only one of them would count
            found = f'another file for the pipeline "{path.stem}"'
            problems.append(SettingError(str(path), found=found, wanted="one of another name"))
        elif isinstance(parsed, Pipeline):
            pipelines[path.stem] = parsed
        else:
            problems += parsed
    return pipelines


def _pipeline_text(path: Path, place: str, problems: list[SettingError]) -> str | None:
    """Read a file; not what is longer than any pipeline."""
    most = 4 * MOST_CHARACTERS  # bytes of UTF-8
    try:
        size = path.stat().st_size
        if size <= most:
            return read_plain_text(path)
        problems.append(SettingError(place, found=f"{size:,} bytes long", wanted=f"at most {most:,}"))
    except (OSError, UnicodeDecodeError) as error:
        problems.append(SettingError(place, found=unreadable(error), wanted="a text file in UTF-8"))
    return None


def _pipeline_files(folder: Path, problems: list[SettingError]) -> list[Path] | None:
    """Return the files in order, or None when the folder is there and cannot be listed."""
    try:
        found = list(folder.iterdir())  # `glob` takes a folder that may not be read for an empty one
    except FileNotFoundError:
        return []
    except OSError as error:
        wanted = "a folder that the gateway's user may read"
        problems.append(SettingError(str(folder), found=f"not readable ({error.strerror})", wanted=wanted))
        return None
    return sorted(path for path in found if path.suffix in (".yaml", ".yml") and not path.name.startswith("."))


def _check_default(settings: Settings, named: set[str], problems: list[SettingError]) -> None:
    default = settings.gateway.default_pipeline
    if default and default not in named:
        wanted = f"the name of a file in {settings.pipelines_dir} without .yaml ({_listed(named)})"
        problems.append(SettingError("gateway.default_pipeline", found=f'"{default}"', wanted=wanted))


def _built(place: str, problems: list[SettingError], factory: Callable[..., Any], *arguments: Any) -> Any:
    """Call a plugin's factory; what it raises becomes a problem at its place, whatever it is."""
    try:
        return factory(*arguments)
    except SettingErrors as several:
        problems += [_in_place(place, problem) for problem in several.problems]
    except SettingError as error:
        problems.append(_in_place(place, error))
    except PluginError as error:
        problems.append(SettingError(place, found="not usable", wanted=str(error)))
    except trio.Cancelled:
        raise
    except BaseException as error:  # a third party's code; the others are still checked
        if not stays_contained(error):
            raise
        problems.append(SettingError(place, found=f"failing with {in_words(error)}", wanted="built"))
    return None


def _in_place(place: str, problem: SettingError) -> SettingError:
    """Put the section before a setting that a factory knows by its own name alone."""
    if not problem.place.isidentifier():
        return problem
    return SettingError(f"{place}.{problem.place}", found=problem.found, wanted=problem.wanted, hint=problem.hint)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "there is none yet"
