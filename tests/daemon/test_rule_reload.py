"""Edit rule files under the real daemon, as editors do and as accidents do: told before it goes live, or in force."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.daemon.rulefiles import REST_SECONDS
from tests.support.rules_daemon import PATIENCE_SECONDS, Daemon, a_daemon

FIRST = 'RULE "greet" WHEN message.content == "hi" THEN reply("one")\n'
SECOND = FIRST.replace("one", "two")


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    with a_daemon(FIRST) as daemon:
        yield daemon


@pytest.fixture
def daemon(served: Daemon) -> Daemon:
    return afresh(served)


def afresh(served: Daemon) -> Daemon:
    """Return the one daemon, with the first rules in force again."""
    if served.rules.is_file():
        served.rules.unlink()
    served.rules.mkdir(exist_ok=True)
    for path in served.rules.iterdir():
        if path.name != "main.rules":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (served.rules / "main.rules").write_text(FIRST + f"# {os.urandom(4).hex()}\n")
    served.control.post("reload")
    served.until("ConfigurationLoaded", what="configuration")
    served.forget()
    return served


def answer(daemon: Daemon) -> list[str]:
    replies: list[str] = daemon.says("hi")["replies"]
    return replies


def test_an_edit_goes_live_and_says_which_rule_changed(daemon: Daemon) -> None:
    assert answer(daemon) == ["one"]
    extra = 'RULE "bye" WHEN message.content == "bye" THEN drop("x")\n'
    (daemon.rules / "main.rules").write_text(SECOND + extra)
    told = daemon.until("ConfigurationLoaded", what="rules")
    assert told["changes"] == 'rule "bye" added (main.rules:2); rule "greet" changed (main.rules:1)'
    assert answer(daemon) == ["two"]
    status = daemon.status()
    assert status["ready"] is (status["problems"] == [])
    assert status["rules"]["changes"] == told["changes"].split("; ")
    assert status["rules"]["loaded"]["refused"] == ""


def test_an_editor_that_renames_and_leaves_backups_is_read_once_and_its_leavings_never(daemon: Daemon) -> None:
    for name in ("main.rules~", ".#main.rules", "#main.rules#", "4913", ".main.rules.swp"):
        (daemon.rules / name).write_text("no rules at all")
    new = daemon.rules / ".main.rules.new"
    new.write_text(SECOND)
    new.rename(daemon.rules / "main.rules")
    assert daemon.until("ConfigurationLoaded", what="rules")["changes"] == 'rule "greet" changed (main.rules:1)'
    assert answer(daemon) == ["two"]
    status = daemon.status()
    assert (status["rules"]["loaded"]["refused"], status["rules"]["files"], status["waiting_for_reload"]) == ("", 1, [])


def test_a_file_written_in_pieces_is_read_when_it_rests(daemon: Daemon) -> None:
    before = daemon.status()["counters"]["configurations"]
    while in_pieces(daemon.rules / "main.rules", SECOND[:20], SECOND[20:40], SECOND[40:]) > REST_SECONDS:
        afresh(daemon)  # it did rest: the machine stood still in between
        before = daemon.status()["counters"]["configurations"]
    daemon.until("ConfigurationLoaded", what="rules")
    assert answer(daemon) == ["two"]
    assert daemon.status()["counters"]["configurations"] == before + 1


def in_pieces(path: Path, *pieces: str) -> float:
    """Write a file in pieces and return how many seconds that took."""
    began = time.monotonic()
    with path.open("w") as file:
        for piece in pieces:
            file.write(piece)
            file.flush()
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('WHEN message.content = "hi" THEN reply("x")', "use == to compare"),
        ('WHEN message.content == "hi" THEN route_to("nowhere")', 'there is no pipeline "nowhere"'),
        ('WHEN message.sender.id IN FILE "gone.txt" THEN reply("x")', "gone.txt"),
        ('WHEN message.sender.id IN FILE "folder" THEN reply("x")', "is a directory"),
        (SECOND + 'TEST "t" GIVEN message.content = "hi" EXPECT reply("one")', 'TEST "t" fails'),
        (FIRST + SECOND, 'two rules are called "greet"'),
        ("\0", "binary"),
        ("WHEN x ==\n" * 100_000, "more than 100 problems in this file"),
    ],
    ids=["syntax", "name", "missing list", "list is a folder", "failing test", "duplicate", "binary", "100,000 errors"],
)
def test_wrong_rules_are_refused_and_the_old_ones_serve(daemon: Daemon, text: str, told: str) -> None:
    (daemon.rules / "folder").mkdir(exist_ok=True)
    (daemon.rules / "main.rules").write_text(text)
    daemon.until("ConfigurationRefused", what="rules")
    assert answer(daemon) == ["one"]
    why = daemon.status()["rules"]["loaded"]["refused"]
    assert told in why
    assert len(why) < 100_000
    (daemon.rules / "main.rules").write_text(SECOND)
    daemon.until("ConfigurationLoaded", what="rules")
    assert daemon.status()["rules"]["loaded"]["refused"] == ""
    assert answer(daemon) == ["two"]


def test_a_list_that_is_mended_is_read_again_without_touching_the_rules(daemon: Daemon) -> None:
    (daemon.rules / "main.rules").write_text('WHEN message.content IN FILE "words.txt" THEN reply("listed")\n')
    daemon.until("ConfigurationRefused", what="rules")
    (daemon.rules / "words.txt").write_text("hi\n")
    daemon.until("ConfigurationLoaded", what="rules")
    assert answer(daemon) == ["listed"]
    (daemon.rules / "words.txt").write_text("ho\n")
    assert daemon.until("ConfigurationLoaded", what="rules")["changes"] == "list words.txt changed"
    assert answer(daemon) == ["hi"]


@pytest.mark.parametrize("accident", ["gone", "a file"])
def test_a_folder_that_cannot_be_read_leaves_the_rules_in_force(daemon: Daemon, accident: str) -> None:
    aside = daemon.folder / "rules.aside"
    daemon.rules.rename(aside)
    if accident == "a file":
        daemon.rules.write_text("not a folder")
    assert "cannot be read" in daemon.until("ConfigurationRefused", what="rules")["why"]
    assert answer(daemon) == ["one"]
    if accident == "a file":
        daemon.rules.unlink()
    aside.rename(daemon.rules)
    daemon.until("ConfigurationLoaded", what="rules")
    assert daemon.status()["rules"]["loaded"]["refused"] == ""


def test_other_files_wait_for_reload_and_are_named_until_then(daemon: Daemon) -> None:
    spec: Path = daemon.folder / "pipelines.d" / "chat.yaml"
    spec.write_text("pipeline: [{name: say, model: loud}]\n")
    (daemon.rules / "main.rules").write_text(SECOND)
    daemon.until("ConfigurationLoaded", what="rules")
    ends = time.monotonic() + PATIENCE_SECONDS
    while daemon.status()["waiting_for_reload"] != ["pipelines.d/chat.yaml"]:
        assert time.monotonic() < ends, daemon.status()
    assert daemon.says("ho")["replies"] == ["ho"]
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.until("ConfigurationLoaded", what="configuration")["changes"] == "pipeline chat changed"
    assert daemon.status()["waiting_for_reload"] == []
    assert daemon.says("ho")["replies"] == ["LOUD ho"]
    spec.write_text("pipeline: [{name: say, model: echo}]\n")


WITH_FILES = """
[pipelines]
dir = "elsewhere.d"
[models.help]
provider = "faq"
file = "faq.md"
[[hooks.inbound]]
use = "sensitive_words"
words_file = "words.txt"
"""


def test_files_that_models_and_hooks_read_are_named_until_reload_and_by_it(daemon: Daemon) -> None:
    settings: Path = daemon.folder / "oclaw.toml"
    faq, words, before = daemon.folder / "faq.md", daemon.folder / "words.txt", settings.read_text()
    faq.write_text("# Hello?\nHi.\n")
    words.write_text("darn\n")
    shutil.copytree(daemon.folder / "pipelines.d", daemon.folder / "elsewhere.d")
    settings.write_text(before + WITH_FILES)
    daemon.process.send_signal(signal.SIGHUP)
    changes = daemon.until("ConfigurationLoaded", what="configuration")["changes"]
    assert changes == "model help added; [hooks] inbound changed; [pipelines] dir changed"
    assert daemon.status()["waiting_for_reload"] == []
    words.write_text("gosh\n")
    ends = time.monotonic() + PATIENCE_SECONDS
    while daemon.status()["waiting_for_reload"] != ["words.txt"]:
        assert time.monotonic() < ends, daemon.status()
    faq.write_text("# Hello?\nGood day.\n")
    daemon.process.send_signal(signal.SIGHUP)
    changes = daemon.until("ConfigurationLoaded", what="configuration")["changes"]
    assert changes == "faq.md changed; words.txt changed"
    assert daemon.status()["waiting_for_reload"] == []
    settings.write_text(before)
