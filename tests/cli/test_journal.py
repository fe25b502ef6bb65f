"""`oclaw journal` on the file of a gateway that may be running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from gateway.cli.frame import oclaw
from gateway.journal import FILE_NAME, open_journal
from gateway.records import Accept
from gateway.testing.journal_words import a_message, a_reply, committed, done_with


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("OCLAW_CONFIG", str(tmp_path))
    (tmp_path / "oclaw.toml").touch()
    return tmp_path


def filled(state: Path) -> None:
    async def fill() -> None:
        async with open_journal(state / FILE_NAME) as journal:
            await committed(journal, Accept((a_message("a", key="k"), a_message("b"))), done_with("a", a_reply("a.0")))

    trio.run(fill)


def run(*words: str) -> Result:
    return CliRunner().invoke(oclaw, ["journal", *words])


def test_each_command_answers(state: Path) -> None:
    filled(state)
    assert json.loads(run("info", "--json").stdout)["rows"]["inbound.done"] == 1
    assert "inbound.accepted" in run("info").stdout
    assert run("check").stdout == "whole\n"
    assert json.loads(run("compact", "--json").stdout) == {"bytes_freed": 0}
    assert json.loads(run("export").stdout.splitlines()[0])["id"] == "a"
    assert json.loads(run("backup", str(state / "copy"), "--json").stdout)["bytes"] > 0
    again = run("backup", str(state / "copy"))
    assert again.exit_code == 1
    assert "exists" in again.stderr


def test_a_damaged_journal_is_told_by_exit_code_and_sentence(state: Path) -> None:
    filled(state)
    with (state / FILE_NAME).open("r+b") as file:
        file.truncate(4096 * 7)
    result = run("check")
    assert result.exit_code == 1
    assert "oclaw journal export" in result.stderr


def test_without_a_journal_the_place_is_named(state: Path) -> None:
    result = run("info")
    assert result.exit_code == 1
    assert f"no journal at {state / FILE_NAME}" in result.stderr


@pytest.mark.parametrize("content", [b"", b"no database at all"])
def test_a_file_that_is_no_journal_is_told_in_a_sentence(state: Path, content: bytes) -> None:
    (state / FILE_NAME).write_bytes(content)
    for words in (["info"], ["check"], ["backup", str(state / "copy")]):
        done = run(*words)
        assert (done.exit_code, isinstance(done.exception, SystemExit)) == (1, True), words
        assert "is damaged" in done.output
    assert not (state / "copy").exists()
    assert isinstance(run("compact").exception, SystemExit | None)
    assert run("export").exit_code == 0
