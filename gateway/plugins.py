"""Name → factory, for channels, hooks, actions and providers.

The built-in ones are named here as "module:attribute" strings and imported when they are
first asked for, so an unused platform costs nothing at start. Installed packages add theirs
through the entry points oclaw.channels, oclaw.hooks, oclaw.actions and oclaw.providers, which are only looked
through for a name that is not built in. A hook may also be a function of the operator's,
"my_hooks:preprocess_hook", in the folder hooks/ beside oclaw.toml.

What a plugin module has: `Settings` (a frozen msgspec Struct; of a hook or provider, `FILES` in it names the fields
that name files which `build` reads, so that a changed one is told until `oclaw reload`) and `build`:
channels and providers `build(name, settings, kit)`, hooks `build(settings, kit)`; a channel
also `PLATFORM`, and `scaffold()` where `oclaw init` shall write files beside the section (name → text; they may hold
fresh secrets and get mode 0600). A channel or provider module without `build` can be configured and not
switched on; its `UNREADY` says why. An entry point names the module or an object with these attributes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import trio
from msgspec import Struct

from gateway.config.load import Shape
from gateway.config.operator_code import OperatorCode
from gateway.errors import PluginError, in_words, stays_contained

PluginKind = Literal["channels", "hooks", "actions", "providers"]

BUILT_IN: dict[PluginKind, dict[str, str]] = {
    "channels": {
        "webhook": "gateway.channels.webhook",
        "websocket": "gateway.channels.websocket",
        "webchat": "gateway.channels.webchat",
        "grpc": "gateway.channels.grpc",
        "matrix": "gateway.channels.matrix",
        "irc": "gateway.channels.irc",
        "slack": "gateway.channels.slack",
        "imessage": "gateway.channels.imessage",
        "dingtalk": "gateway.channels.dingtalk",
    },
    "hooks": {
        "sensitive_words": "gateway.hooks.sensitive_words",
        "allowlist": "gateway.hooks.allowlist",
        "rate_limit": "gateway.hooks.rate_limit",
        "max_length": "gateway.hooks.max_length",
    },
    "actions": {},
    "providers": {
        "echo": "gateway.models.echo",
        "faq": "gateway.models.faq",
    },
}

ONE: dict[PluginKind, str] = {
    "channels": "a channel type",
    "hooks": "a hook",
    "actions": "an action",
    "providers": "a provider",
}


class PluginTable:
    """Every plugin by name. `hooks_dir` holds the operator's own Python; None when there is none."""

    def __init__(self, hooks_dir: Path | None = None, built_in: dict[PluginKind, dict[str, str]] | None = None) -> None:
        self._built_in = BUILT_IN if built_in is None else built_in
        self._own = OperatorCode(hooks_dir) if hooks_dir is not None else None
        self._found: dict[tuple[PluginKind, str], Any] = {}

    def names(self, kind: PluginKind) -> list[str]:
        """Return all names of a kind, built in and installed."""
        return sorted({*self._built_in[kind], *(point.name for point in _entry_points(kind))})

    def shape(self, kind: PluginKind, name: str) -> Shape:
        """Return the plugin's settings struct; raises `PluginError`, whose text completes "it must be …"."""
        if kind == "hooks" and ":" in name:
            self.hook_function(name)
            return Shape(settings=None)
        plugin = self.find(kind, name)
        settings = getattr(plugin, "Settings", None)
        if not (isinstance(settings, type) and issubclass(settings, Struct)):
            raise PluginError(f"{ONE[kind]} whose `Settings` is a msgspec Struct; the plugin named so has none")
        if callable(getattr(plugin, "build", None)):
            return Shape(settings)
        return Shape(settings, getattr(plugin, "UNREADY", f"{ONE[kind].capitalize()} without `build` cannot run."))

    def build(self, kind: PluginKind, name: str, *arguments: Any) -> Any:
        """Call the plugin's `build`; raises `PluginError` when it has none, and lets what `build` raises pass."""
        factory = getattr(self.find(kind, name), "build", None)
        if factory is None:
            raise PluginError(f"{ONE[kind]} that can run; {name} can only be configured in this version")
        return factory(*arguments)

    def hook_function(self, reference: str, most: int = 2) -> Callable[..., Any]:
        """Return the operator's "module:function", which takes one argument, or `most`; raises `PluginError`."""
        if self._own is None:
            raise PluginError("a built-in hook; this gateway has no folder for hooks of its own")
        return self._own.function(reference, most)

    def find(self, kind: PluginKind, name: str) -> Any:
        """Return the plugin itself: a module, or whatever an entry point names; raises `PluginError`."""
        if (kind, name) not in self._found:
            self._found[kind, name] = self._load(kind, name)
        return self._found[kind, name]

    def _load(self, kind: PluginKind, name: str) -> Any:
        place = self._built_in[kind].get(name)
        if place is not None:
            return _resolve(kind, place)
        importlib.invalidate_caches()  # installed since the last look, perhaps
        for point in _entry_points(kind):
            if point.name == name:
                return _guarded(kind, f"the installed plugin {name} ({point.value})", point.load)
        known = ", ".join(self.names(kind))
        raise PluginError(f"{ONE[kind]} that is there: {known}")


def _resolve(kind: PluginKind, place: str) -> Any:
    module, _, attribute = place.partition(":")
    plugin = _guarded(kind, f"the plugin {module}", lambda: importlib.import_module(module))
    return getattr(plugin, attribute) if attribute else plugin


def _guarded(kind: PluginKind, what: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except trio.Cancelled:
        raise
    except BaseException as error:  # a third party's module may raise anything while it is imported
        if not stays_contained(error):
            raise
        late = (
            " (installed while the gateway runs? a restart finds it)" if isinstance(error, ModuleNotFoundError) else ""
        )
        raise PluginError(f"{ONE[kind]} that loads; {what} failed with {in_words(error)}{late}") from error


def _entry_points(kind: PluginKind) -> Any:
    from importlib.metadata import entry_points

    return entry_points(group=f"oclaw.{kind}")
