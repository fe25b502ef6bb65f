"""Plugins are found by name, imported when asked for, and a broken one is named and harms nobody else."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.errors import PluginError, SettingErrors
from gateway.plugins import PluginTable


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the search path that holds a distribution with two channel plugins: a good and a broken one."""
    site = tmp_path / "site"
    (site / "carrier-1.0.dist-info").mkdir(parents=True)
    (site / "carrier-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
    points = "[oclaw.channels]\npigeon = carrier_pigeon\nraven = carrier_raven\nirc = carrier_raven\n"
    (site / "carrier-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "carrier_pigeon.py").write_text(
        "from msgspec import Struct\nPLATFORM = 'pigeon'\n"
        "class Settings(Struct, frozen=True):\n    loft: str\n"
        "def build(name, settings, kit):\n    return name, settings.loft\n"
    )
    (site / "carrier_raven.py").write_text("raise RuntimeError('never more')\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in ("carrier_pigeon", "carrier_raven"):
        sys.modules.pop(name, None)


def test_an_installed_plugin_brings_its_settings_and_is_built(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "oclaw.toml").write_text('[channels.post]\ntype = "pigeon"\nloft = "north"\n')
    table = PluginTable()
    entry = load(tmp_path, table, {}).channels["post"]
    assert entry.settings.loft == "north"
    assert table.build("channels", "pigeon", "post", entry.settings, None) == ("post", "north")
    assert "pigeon" in table.names("channels")


def test_a_broken_plugin_is_a_fault_that_names_it_beside_all_others(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "oclaw.toml").write_text('[channels.a]\ntype = "raven"\n[channels.b]\ntype = "pigeon"\n')
    with pytest.raises(SettingErrors) as caught:
        load(tmp_path, PluginTable(), {})
    broken, other = (str(problem) for problem in caught.value.problems)
    assert broken.startswith('channels.a.type is "raven"')
    assert "carrier_raven" in broken
    assert "RuntimeError: never more" in broken
    assert other == "channels.b.loft is missing; it must be text in quotes."


def test_a_plugin_that_this_process_cannot_import_yet_says_what_helps(installed: Path, tmp_path: Path) -> None:
    (installed / "carrier_raven.py").unlink()
    (tmp_path / "oclaw.toml").write_text('[channels.a]\ntype = "raven"\n')
    with pytest.raises(SettingErrors) as caught:
        load(tmp_path, PluginTable(), {})
    assert str(caught.value.problems[0]).endswith("(installed while the gateway runs? a restart finds it).")


def test_a_built_in_name_is_not_looked_up_among_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**_: Any) -> Any:
        raise AssertionError("looked up")

    monkeypatch.setattr(metadata, "entry_points", never)
    assert PluginTable().shape("providers", "echo").settings is not None


def test_a_plugin_whose_failure_has_no_words_is_named_all_the_same(installed: Path) -> None:
    speechless = "class Grief(Exception):\n    def __str__(self):\n        raise self\nraise Grief\n"
    (installed / "carrier_raven.py").write_text(speechless)
    with pytest.raises(PluginError, match=r"raven \(carrier_raven\) failed with Grief$"):
        PluginTable().find("channels", "raven")


def test_a_plugin_that_can_only_be_configured_says_why_it_cannot_run() -> None:
    table = PluginTable()
    assert "not part of this version" in table.shape("channels", "imessage").unready
    with pytest.raises(PluginError, match="only be configured"):
        table.build("channels", "imessage", "x", None, None)


HOOKS = """
import helper
LIMIT = 3
def short(message):
    return helper.cut(message, LIMIT)
"""


def test_an_operators_function_is_found_and_its_modules_find_each_other(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HOOKS)
    (tmp_path / "helper.py").write_text("def cut(text, limit):\n    return text[:limit]\n")
    short = PluginTable(tmp_path).hook_function("mine:short")
    assert short("abcdef") == "abc"
    assert "mine" not in sys.modules
    assert list(tmp_path.rglob("*.pyc")) == []


NOTES = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Note:
    text: str
def hook(message):
    return Note(message)
"""


def test_an_operators_module_may_hold_dataclasses_with_deferred_annotations(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text(NOTES)
    assert PluginTable(tmp_path).hook_function("notes:hook")("x").text == "x"


def test_a_reload_reads_the_modules_that_the_operators_modules_import_anew(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HOOKS.replace("helper", "cutter"))
    (tmp_path / "cutter.py").write_text("def cut(text, limit):\n    return text[:limit]\n")
    before = PluginTable(tmp_path).hook_function("mine:short")
    (tmp_path / "cutter.py").write_text("def cut(text, limit):\n    return text[-limit:]\n")
    after = PluginTable(tmp_path).hook_function("mine:short")
    assert (before("abcdef"), after("abcdef")) == ("abc", "def")


def test_asyncios_cancellation_out_of_an_operators_module_is_a_failure_of_that_module(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import asyncio\nraise asyncio.CancelledError('of a task')\n")
    with pytest.raises(PluginError, match=r"mine.py:2 failed with CancelledError: of a task"):
        PluginTable(tmp_path).hook_function("mine:call")


def test_a_module_that_fails_leaves_the_one_before_it_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text(NOTES)
    hook = PluginTable(tmp_path).hook_function("notes:hook")
    (tmp_path / "notes.py").write_text("nope")
    with pytest.raises(PluginError):
        PluginTable(tmp_path).hook_function("notes:hook")
    assert sys.modules[hook.__module__].hook is hook


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("mine:shrot", "which has short"),
        ("mine:LIMIT", "which has short"),
        ("gone:x", "gone.py is not found"),
        ("../etc/x:y", "is not found"),
        ("broken:x", "broken.py:2 failed with NameError"),
        ("unwell:x", "unwell.py:1 failed with SyntaxError"),
        ("x" * 300 + ":x", "File name too long"),  # as for a folder that may not be entered, which root always may
    ],
)
def test_a_function_that_is_not_there_is_a_sentence(tmp_path: Path, reference: str, said: str) -> None:
    imported = "from functools import reduce\nfrom pathlib import Path\n"
    (tmp_path / "mine.py").write_text(imported + "LIMIT = 3\ndef short(message):\n    return message\n")
    (tmp_path / "broken.py").write_text("x = 1\nnope\n")
    (tmp_path / "unwell.py").write_text("def :\n")
    with pytest.raises(PluginError) as caught:
        PluginTable(tmp_path).hook_function(reference)
    assert said in str(caught.value)
