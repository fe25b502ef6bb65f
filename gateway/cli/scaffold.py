"""Which files a new configuration has, and how its oclaw.toml is put together.

The sections of channels are cut out of the commented reference conf/oclaw.toml, so that what a
newcomer gets is what the reference says. A channel is switched on when it can run as it stands:
its adapter is there and no secret has to be supplied first.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import gateway
from gateway.cli.frame import NotDone
from gateway.cli.resolvers import cut_off
from gateway.config.describe import similar
from gateway.config.load import FILE
from gateway.newfile import write_new
from gateway.plainfile import read_plain_text
from gateway.plugins import PluginTable

HOME = Path(gateway.__file__).resolve().parents[1]
CONF, SYSTEMD = HOME / "conf", HOME / "systemd"
RESOLV_CONF = Path("/etc/resolv.conf")
POLICY = "systemd/oclaw.service.d/network.conf"
# The models that the example pipeline names, and the built-in provider that stands in for each.
EXAMPLE_MODELS = {"bert-base-multilingual": "echo", "qianwen-34b": "faq"}
COPIED = ("faq.md", "hooks/my_hooks.py", "rules.d/main.rules", "pipelines.d/text_processing_pipeline.yaml")
PROD = {
    "systemd/oclaw.service": SYSTEMD / "oclaw.service",
    "systemd/oclaw.socket": SYSTEMD / "oclaw.socket",
    POLICY: SYSTEMD / "oclaw.service.d" / "network.conf",
    "prometheus/oclaw.rules.yml": CONF / "prometheus" / "oclaw.rules.yml",
}

HEAD = """\
# oclaw.toml, made by `oclaw init --env {env}`. Every setting is explained in {reference}.
# Secrets never stand here: write "env:NAME", "file:PATH" or "credential:NAME".

[gateway]
default_pipeline = "chat"
{gateway}
[listen]
addresses = ["127.0.0.1:8420"]

[hooks]
inbound = ["my_hooks:preprocess_hook"]
outbound = []
"""

MODEL = """
# Answered by the built-in provider "{provider}", so that everything runs without a key. To put the real model in,
# install its provider and write here: provider = "…" and, for its key, api_key = "env:{variable}".
# Pipelines and rules go on saying "{name}".
[models.{key}]
provider = "{provider}"
"""


def scaffold(directory: Path, *, env: str, models: list[str], channels: list[str]) -> dict[str, list[str]]:
    """Write what is missing in `directory`; returns the paths written and kept, and notes on what is still to do."""
    for name in models:
        if not re.fullmatch(r"[A-Za-z0-9][\w./:-]*", name, re.ASCII):
            raise NotDone(f'"{name}" is no name for a model: letters, digits and . _ - / : are')
    files, off, notes = _files(env, models or ["assistant"], channels)
    private = _private(channels)
    for folder in dict.fromkeys((directory / name).parent for name in files | private):
        _make(folder)
    written, kept = [], []
    for name, text in (files | private).items():
        path = directory / name
        try:
            write_new(path, text.encode(), mode=0o600 if name in private else 0o666)
            written.append(str(path))
        except FileExistsError:
            kept.append(str(path))
        except OSError as error:
            raise NotDone(f"{path} cannot be written: {error.strerror}") from error
    path = directory / FILE
    return {
        "written": written,
        "kept": kept,
        "notes": (_lacking(path, models, channels) if str(path) in kept else off) + notes,
    }


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotDone(f"the folder {folder} cannot be made: {error.strerror}") from error


def _lacking(path: Path, models: list[str], channels: list[str]) -> list[str]:
    """Return a note on what was asked for and does not stand in an oclaw.toml that was kept."""
    try:
        there = tomllib.loads(read_plain_text(path))
    except (OSError, ValueError):  # `oclaw check` tells what is wrong with it
        there = {}
    stands = {f"{section}.{name}" for section, each in there.items() if isinstance(each, dict) for name in each}
    wanted = [f"models.{name}" for name in models] + [f"channels.{name}" for name in channels]
    lacking = ", ".join(f"[{name}]" for name in wanted if name not in stands)
    if not lacking:
        return []
    return [f"{path} stays as it was, without {lacking}: copy such a section out of oclaw.reference.toml, and edit it."]


def _files(env: str, models: list[str], channels: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the files by name, which channels stay off, and what else is still to do."""
    sections, off = _channels(channels)
    notes = []
    configuration = HEAD.format(env=env, reference="oclaw.reference.toml", gateway=_gateway(env))
    configuration += "".join(_model(name) for name in dict.fromkeys([*models, *EXAMPLE_MODELS]))
    files = {FILE: configuration + "".join("\n" + section for section in sections)}
    files |= {name: (CONF / name).read_text("utf-8") for name in COPIED}
    chat = (CONF / "pipelines.d/chat.yaml").read_text("utf-8")
    # In quotes: 4.1 is a number to YAML, and "no" a no.
    files["pipelines.d/chat.yaml"] = chat.replace("model: assistant", f'model: "{models[0]}"')
    files["oclaw.reference.toml"] = (CONF / FILE).read_text("utf-8")
    if env == "prod":
        files |= {name: path.read_text("utf-8") for name, path in PROD.items()}
        notes.append("For systemd: see the comments at the top of systemd/oclaw.service.")
        notes += _resolvers(files[POLICY])
    return files, off, notes


def _resolvers(policy: str) -> list[str]:
    """Return a note when this machine asks name servers that the service could not reach."""
    try:
        away = cut_off(policy, RESOLV_CONF.read_text("utf-8", "replace"))
    except (OSError, ValueError):  # what is no address is the system's to tell
        return []
    if not away:
        return []
    allow = f"IPAddressAllow={' '.join(away)}"
    return [f"{POLICY} denies private networks, and {RESOLV_CONF} names a server there: add the line {allow} to it."]


def _private(channels: list[str]) -> dict[str, str]:
    """Return what channel types want written beside their sections; it may hold fresh secrets."""
    table, files = PluginTable(), dict[str, str]()
    for name in channels:
        make = getattr(table.find("channels", name), "scaffold", None)
        files |= make() if make is not None else {}
    return files


def _gateway(env: str) -> str:
    return 'log_format = "json"\n' if env == "prod" else ""


def _model(name: str) -> str:
    provider = EXAMPLE_MODELS.get(name, "faq")
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'
    variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()) + "_API_KEY"
    text = MODEL.format(name=name, key=key, provider=provider, variable=variable)
    return text + ('file = "faq.md"\n' if provider == "faq" else "")


def _channels(wanted: list[str]) -> tuple[list[str], list[str]]:
    """Return the sections, and a note on each channel that stays off. Somebody must be able to talk to the gateway:
    when nothing named can run yet, the web chat is added."""
    table, sections, notes, running = PluginTable(), [], [], False
    known = _reference_sections()
    for name in wanted:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise NotDone(f'there is no channel type "{name}"; there are {listed}. {similar(name, known)}'.strip())
        section, why = _switched(known[name], name, table)
        sections.append(section)
        running = running or not why
        notes += [why] if why else []
    if not running and "webchat" in known and "webchat" not in wanted:
        sections.append(_switched(known["webchat"], "webchat", table)[0])
    return sections, notes


def _switched(section: str, name: str, table: PluginTable) -> tuple[str, str]:
    """Return the section switched on or off, and why it is off, or ''."""
    secrets = re.findall(r'^[^#\n]*"((?:env|file|credential):[^"]+)"', section, re.MULTILINE)
    unready = table.shape("channels", name).unready
    on = not unready and not secrets
    section = re.sub(r"^enabled = \w+$", f"enabled = {'true' if on else 'false'}", section, flags=re.MULTILINE)
    if on:
        return section, ""
    needs = ", ".join(secrets)
    off = f"[channels.{name}] is switched off"
    if unready:
        return section, f"{off}. {unready}" + (f" It will need {needs}." if needs else "")
    return section, f"{off}: supply {needs}, then set enabled = true."


def _reference_sections() -> dict[str, str]:
    """Cut the reference into the sections of channels: comment, header, and all up to an empty line."""
    text = (CONF / FILE).read_text("utf-8")
    sections = re.finditer(r"(?:^#[^\n]*\n)*^\[channels\.(\w+)\]\n(?:[^\n]+\n)*", text, re.MULTILINE)
    return {found[1]: found[0] for found in sections}
