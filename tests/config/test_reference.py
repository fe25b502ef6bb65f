"""The shipped configurations are right, and the reference leaves no setting out."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from gateway.cli.faults import examine
from gateway.config.settings import ChannelEntry, HookEntry, ModelEntry, Settings
from gateway.plugins import BUILT_IN, PluginTable
from rules import format_text

CONF = Path(__file__).parents[2] / "conf"
REFERENCE = (CONF / "oclaw.toml").read_text("utf-8")
EXAMPLES = [CONF, *sorted(path.parent for path in CONF.glob("examples/*/oclaw.toml"))]


def shown(section: str) -> set[str]:
    """Return the keys below a header of the reference, set or commented out, up to the next header."""
    found = re.search(rf"^\[+{re.escape(section)}\]+\n(.*?)(?=^\[|\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"conf/oclaw.toml has no section [{section}]"
    return set(re.findall(r"^(?:# )?(\w+) = ", found[1], re.MULTILINE))


def names(shape: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(shape)} - {"name", "settings"}


def built_in(kind: Any) -> list[str]:
    return [name for name, module in BUILT_IN[kind].items() if importlib.util.find_spec(module) is not None]


@pytest.mark.parametrize(
    "section", ["gateway", "listen", "journal", "flow", "delivery", "access", "rules", "pipelines"]
)
def test_the_reference_shows_every_setting_of_a_section(section: str) -> None:
    (shape,) = (field.type for field in msgspec.structs.fields(Settings) if field.name == section)
    assert shown(section) == names(shape)


def test_the_reference_shows_the_defaults() -> None:
    read = tomllib.loads(REFERENCE)
    for field in msgspec.structs.fields(Settings):
        if field.name in ("gateway", "listen", "journal", "flow", "delivery", "access", "rules", "pipelines"):
            default = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in msgspec.structs.asdict(field.default).items()
            }
            assert read[field.name] | {"default_pipeline": ""} == default | {"default_pipeline": ""}, field.name


@pytest.mark.parametrize("type_", built_in("channels"))
def test_the_reference_shows_every_setting_of_a_channel_type(type_: str) -> None:
    settings = PluginTable().shape("channels", type_).settings
    assert settings is not None
    assert shown(f"channels.{type_}") == names(settings) | names(ChannelEntry)


@pytest.mark.parametrize("provider", built_in("providers"))
def test_the_reference_shows_every_setting_of_a_provider(provider: str) -> None:
    settings = PluginTable().shape("providers", provider).settings
    sections = [name for name, entry in tomllib.loads(REFERENCE)["models"].items() if entry["provider"] == provider]
    assert settings is not None
    assert shown(f"models.{sections[0]}") == names(settings) | names(ModelEntry)


def test_the_reference_shows_every_setting_of_every_hook() -> None:
    keys = shown("hooks.inbound")
    assert names(HookEntry) <= keys
    entries = re.split(r"^# ?\[\[hooks\.\w+\]\]\n|^\[\[hooks\.\w+\]\]\n", REFERENCE, flags=re.MULTILINE)
    for name in built_in("hooks"):
        settings = PluginTable().shape("hooks", name).settings
        (entry,) = [text for text in entries if f'use = "{name}"' in text]
        assert settings is None or names(settings) <= set(re.findall(r"^(?:# )?(\w+) = ", entry, re.MULTILINE)), name


@pytest.mark.parametrize("directory", EXAMPLES, ids=lambda path: path.name)
def test_every_shipped_configuration_is_accepted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    for token in ("SHOP_TOKEN", "SHOUT_TOKEN"):  # of examples/worker
        monkeypatch.setenv(token, "a-token-0123456789")
    before = sorted(directory.rglob("*"))
    assert examine(directory).faults == []
    assert sorted(directory.rglob("*")) == before, "nothing is ever written into a configuration folder"


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.rules")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_shipped_rule_file_has_its_layout(file: Path) -> None:
    assert format_text(file.read_text("utf-8")) == file.read_text("utf-8")


def test_every_metric_of_alerts_and_dashboard_is_one_the_gateway_has() -> None:
    from gateway.telemetry.book import Book

    book = Book()
    known = {f"{counter.name}_total" for counter in book.counters()} | {f"{h.name}_bucket" for h in book.histograms()}
    text = (CONF / "prometheus/oclaw.rules.yml").read_text() + (CONF / "grafana/oclaw.json").read_text()
    assert set(re.findall(r"\boclaw_[a-z_]+(?:_total|_bucket)\b", text)) <= known


@pytest.mark.parametrize(("days", "left", "warned"), [(90, 8, False), (90, 6, True), (6, 3, False), (6, 1, True)])
def test_who_renews_in_time_hears_nothing_of_the_certificates_end(days: int, left: int, warned: bool) -> None:
    alerts = yaml.safe_load((CONF / "prometheus/oclaw.rules.yml").read_text())["groups"][0]["rules"]
    (expression,) = [alert["expr"] for alert in alerts if alert["alert"] == "OclawCertificateEnds"]
    ends = 2e9
    gauges = {"oclaw_certificate_ends_at": ends, "oclaw_certificate_begins_at": ends - days * 86400}
    assert eval(expression, {**gauges, "time": lambda: ends - left * 86400}) is warned  # which is Python as well
