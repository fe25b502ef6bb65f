"""oclaw.toml → `Settings`, or everything that is wrong with it at once.

`Shapes` is how the settings of channels, hooks and providers reach this package without it
knowing them: the plugin table answers with the struct of each. Section by section: what is
faulty in one does not hide what is faulty in the next.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from gateway.config import decode, paths, secret
from gateway.config.decode import FAULTY, Gather, joined
from gateway.config.describe import shown, similar
from gateway.config.settings import ChannelEntry, HookChains, HookEntry, ModelEntry, Settings
from gateway.errors import PluginError, SettingError, SettingErrors
from gateway.plainfile import read_plain_text

FILE = "oclaw.toml"
_CHANNEL_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
Kind = Literal["channels", "hooks", "providers"]


class Shape(msgspec.Struct, frozen=True):
    """The settings a plugin takes (None: it takes none), and why it cannot run although it can be configured, or ''."""

    settings: type[msgspec.Struct] | None
    unready: str = ""


class Shapes(Protocol):
    """The plugin table, as far as configuration needs it."""

    def shape(self, kind: Kind, name: str) -> Shape:
        """Return what the plugin can be told; raises `PluginError` when there is none or it is broken."""

    def names(self, kind: Kind) -> list[str]:
        """Return the known names, for "did you mean"."""


def load(
    directory: Path, shapes: Shapes, environment: Mapping[str, str] | None = None, *, beside: bool = False
) -> Settings:
    """Read and check `directory`/oclaw.toml; raises `SettingErrors` that holds every fault found.

    `beside` the service, secrets that systemd passes to it alone stay unread.
    """
    environment = os.environ if environment is None else environment
    raw = _parse(directory / FILE)
    gather = Gather(secret.SecretStore(directory, environment, beside=beside).read)
    values = _sections(raw, shapes, gather)
    try:
        place = paths.state_dir(directory, _state_setting(raw), environment)
    except SettingError as error:
        gather.problems.append(error)
    if gather.problems:
        raise SettingErrors(gather.problems, _sound(values))
    return Settings(directory=directory, state_dir=place, **values)


def _sound(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the channels and models without a fault by name, and the hooks in their places, None for a faulty one."""
    tables = {name: values[name] for name in ("channels", "models") if isinstance(values.get(name), Mapping)}
    whole: dict[str, Any] = {
        section: {name: entry for name, entry in entries.items() if entry is not FAULTY}
        for section, entries in tables.items()
    }
    if isinstance(hooks := values.get("hooks"), HookChains):
        for chain in ("inbound", "outbound"):
            whole[chain] = tuple(None if entry is FAULTY else entry for entry in getattr(hooks, chain))
    return whole


def state_of(directory: Path, environment: Mapping[str, str]) -> Path:
    """Return the state folder alone, for tools that work beside the gateway or its service.

    Raises `SettingErrors` for a file that is no TOML.
    """
    return paths.state_beside(directory, _state_setting(_parse(directory / FILE)), environment)


def _state_setting(raw: dict[str, Any]) -> str:
    section = raw.get("gateway")
    setting = section.get("state_dir") if isinstance(section, Mapping) else ""
    return setting if isinstance(setting, str) else ""


def _parse(path: Path) -> dict[str, Any]:
    try:
        raw = tomllib.loads(read_plain_text(path))
        nul = _nul_at(raw)
    except FileNotFoundError:
        hint = f'Make one with "oclaw init {path.parent}", or name its folder with --config.'
        raise SettingErrors([SettingError(str(path), found="missing", wanted="there", hint=hint)]) from None
    except OSError as error:
        found = f"not readable ({error.strerror})"
        raise SettingErrors([SettingError(str(path), found=found, wanted="a readable file")]) from error
    except UnicodeDecodeError as error:
        found = f"not UTF-8 at byte {error.start}"
        raise SettingErrors([SettingError(str(path), found=found, wanted="a text file in UTF-8")]) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingErrors([_syntax(path, str(error))]) from None
    except RecursionError:
        raise SettingErrors([SettingError(str(path), found="nested too deeply", wanted="a TOML file")]) from None
    # No file, no address and no header takes one, and each would say so in another way, or not at all.
    if nul is not None:
        raise SettingErrors([SettingError(nul, found="a NUL character", wanted="a text without one")])
    return raw


def _nul_at(value: Any) -> str | None:
    """Return the dotted path of a text that has a NUL character in it, None when there is none."""
    match value:
        case str():
            return "" if "\0" in value else None
        case dict():
            inside = ((key, _nul_at(inner)) for key, inner in value.items())
        case list():
            inside = ((f"[{index}]", _nul_at(inner)) for index, inner in enumerate(value))
        case _:
            return None
    for key, rest in inside:
        if rest is not None:
            return f"{key}.{rest}" if rest and not rest.startswith("[") else f"{key}{rest}"
    return None


def _syntax(path: Path, sentence: str) -> SettingError:
    at = re.search(r"\(at line (\d+), column (\d+)\)", sentence)
    place = f"{path}:{at[1]}:{at[2]}" if at else f"{path} (at its end)"
    words = re.sub(r" \(at .*\)$", "", sentence)
    twice = re.search(r"immutable namespace \('hooks', '(inbound|outbound)'\)", words)
    hint = (
        f"hooks.{twice[1]} stands there as a list already: write each hook of it as [[hooks.{twice[1]}]], or none."
        if twice
        else ""
    )
    return SettingError(place, found=f"not TOML ({words})", wanted="a TOML file", hint=hint)


def _sections(raw: dict[str, Any], shapes: Shapes, gather: Gather) -> dict[str, Any]:
    fields = {f.name: f.type for f in msgspec.structs.fields(Settings) if f.name not in ("directory", "state_dir")}
    decode.unknown_keys(raw, list(fields), "", gather)
    values: dict[str, Any] = {}
    for name, kind in fields.items():
        if name not in raw:
            continue
        match name:
            case "channels":
                values[name] = _entries(raw[name], name, gather, partial(_channel, shapes, gather))
            case "models":
                values[name] = _entries(raw[name], name, gather, partial(_model, shapes, gather))
            case "hooks":
                values[name] = _hooks(raw[name], raw.get("channels", {}), shapes, gather)
            case _:
                values[name] = decode.struct(raw[name], kind, name, gather)
    return values


def _entries(raw: object, place: str, gather: Gather, entry: Callable[[str, object, str], Any]) -> Any:
    if not isinstance(raw, Mapping):
        gather.add(place, shown(raw), f"a table of tables, [{place}.NAME]")
        return FAULTY
    return {name: entry(name, table, joined(place, name)) for name, table in raw.items()}


def _channel(shapes: Shapes, gather: Gather, name: str, raw: object, place: str) -> Any:
    if not _CHANNEL_NAME.fullmatch(name):
        wanted = "a name of 1 to 64 letters, digits and . _ -, as it stands in the address /channels/NAME"
        gather.add("channels", f'"{name[:80]}"', wanted)
    if isinstance(raw, Mapping) and raw.get("enabled") is False:
        gather = gather.reading(secret.name)  # what is switched off need not have its secrets yet
    common, own, shape = _split(raw, ChannelEntry, {"name": name}, ("channels", "type"), place, shapes, gather)
    if common is not FAULTY and common.enabled and shape is not None and shape.unready:
        gather.add(f"{place}.enabled", "true", "false", shape.unready)
    return _with(common, own)


def _model(shapes: Shapes, gather: Gather, name: str, raw: object, place: str) -> Any:
    common, own, _ = _split(raw, ModelEntry, {"name": name}, ("providers", "provider"), place, shapes, gather)
    return _with(common, own)


def _hooks(raw: object, channels: object, shapes: Shapes, gather: Gather) -> Any:
    if not isinstance(raw, Mapping):
        gather.add("hooks", shown(raw), "a table with inbound and outbound")
        return FAULTY
    decode.unknown_keys(raw, ["inbound", "outbound"], "hooks", gather)
    chains = {}
    for chain in ("inbound", "outbound"):
        listed = raw.get(chain, [])
        if not isinstance(listed, list):
            gather.add(f"hooks.{chain}", shown(listed), 'a list, each "module:function" or a table with use = …')
            continue
        chains[chain] = tuple(_hook(e, f"hooks.{chain}[{i}]", channels, shapes, gather) for i, e in enumerate(listed))
    return HookChains(**chains)


def _hook(raw: object, place: str, channels: object, shapes: Shapes, gather: Gather) -> Any:
    table = {"use": raw} if isinstance(raw, str) else raw
    common, own, _ = _split(table, HookEntry, {}, ("hooks", "use"), place, shapes, gather)
    known = list(channels) if isinstance(channels, Mapping) else []
    for index, name in enumerate(() if common is FAULTY else common.only):
        if name not in known:
            gather.add(f"{place}.only[{index}]", f'"{name}"', "the name of a configured channel", similar(name, known))
    return _with(common, own)


def _split(
    raw: object,
    entry: type[msgspec.Struct],
    given: dict[str, str],
    plugin: tuple[Kind, str],
    place: str,
    shapes: Shapes,
    gather: Gather,
) -> tuple[Any, Any, Shape | None]:
    """Decode the settings every entry has, and beside them, in the same table, the plugin's own."""
    if not isinstance(raw, Mapping):
        gather.add(place, shown(raw), "a table")
        return FAULTY, FAULTY, None
    kind, key = plugin
    names = [f.name for f in msgspec.structs.fields(entry) if f.name not in ("name", "settings")]
    shape = _shape(kind, raw.get(key), joined(place, key), shapes, gather)
    own = msgspec.structs.fields(shape.settings) if shape and shape.settings else ()
    if shape:
        decode.unknown_keys(raw, names + [f.encode_name for f in own], place, gather)
    elif key not in raw:  # without a shape nobody knows which keys are wrong, except the one it was meant to be
        decode.unknown_keys({k: v for k, v in raw.items() if similar(k, [key]) and k != key}, names, place, gather)
    common = decode.struct({k: v for k, v in raw.items() if k in names} | given, entry, place, gather)
    if not shape:
        return common, FAULTY, None
    if not shape.settings:
        return common, None, shape
    mine = {f.encode_name for f in own}
    return common, decode.struct({k: v for k, v in raw.items() if k in mine}, shape.settings, place, gather), shape


def _shape(kind: Kind, name: object, place: str, shapes: Shapes, gather: Gather) -> Shape | None:
    if not isinstance(name, str) or not name:
        return None  # missing or of the wrong type, which the entry's own struct reports
    try:
        return shapes.shape(kind, name)
    except PluginError as error:
        gather.add(place, f'"{name}"', str(error), similar(name, shapes.names(kind)))
        return None


def _with(common: Any, own: Any) -> Any:
    return FAULTY if FAULTY in (common, own) else msgspec.structs.replace(common, settings=own)
