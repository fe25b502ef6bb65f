"""`oclaw channels`: what there is, and the beginning of a new one that works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.channels.cards import CARDS
from gateway.cli.frame import oclaw
from gateway.plugins import BUILT_IN

ROOT = Path(__file__).parents[2]


def run(*arguments: str):
    return CliRunner().invoke(oclaw, arguments)


def test_every_channel_type_is_listed_with_what_it_can_do() -> None:
    rows = {row["type"]: row for row in json.loads(run("channels", "list", "--json").stdout)}
    assert set(BUILT_IN["channels"]) <= set(rows)
    assert rows["irc"]["tested"] == "a real ngIRCd" and rows["irc"]["ready"] is True
    assert all(row["transports"] and row["hears"] and row["tested"] for row in rows.values() if row["ready"])
    assert set(CARDS) == set(BUILT_IN["channels"])


def test_the_list_can_be_read_by_people() -> None:
    text = run("channels", "list").stdout
    assert "matrix" in text and "    hears:      text" in text and "dingtalk (not in this version)" in text


def test_a_new_channel_passes_the_contract_as_it_is_written(tmp_path: Path) -> None:
    assert run("channels", "new", "smoke_signal", "--into", str(tmp_path)).exit_code == 0
    folder = tmp_path / "oclaw-smoke_signal"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout or "passed" in done.stdout.splitlines()[-1]


def test_a_new_channel_is_written_as_the_house_is(tmp_path: Path) -> None:
    run("channels", "new", "smoke", "--into", str(tmp_path))
    folder = tmp_path / "oclaw-smoke"
    rules = ("--config", str(ROOT / "pyproject.toml"), "--no-cache", "--ignore", "I001")
    command = [sys.executable, "-m", "ruff", "check", *rules, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert not [path for path in folder.rglob("*") if path.is_file() and "TITLE" in path.read_text()]


@pytest.mark.parametrize("name", ["Bad", "a b", "../x", "x", "irc"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    done = run("channels", "new", name, "--into", str(tmp_path))
    assert done.exit_code != 0 and not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    run("channels", "new", "smoke", "--into", str(tmp_path))
    assert run("channels", "new", "smoke", "--into", str(tmp_path)).exit_code != 0
