"""Reload the real daemon with files that are wrong in unforeseen ways, and for a caller that does not wait."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from gateway.config import paths
from gateway.daemon.differences import stranded
from tests.support.rules_daemon import Daemon, a_daemon


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with a_daemon('WHEN message.content == "hi" THEN reply("one")\n') as served:
        yield served


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("oclaw.toml", "a = " + "[" * 5000, "nested"),
        (
            "pipelines.d/chat.yaml",
            'pipeline: [{name: say, model: echo, prompt: "{{ user_message | shout }}"}]',
            "shout",
        ),
    ],
    ids=["endless nesting", "an unknown filter"],
)
def test_what_cannot_be_read_is_refused_and_everything_serves_on(
    daemon: Daemon, name: str, text: str, told: str
) -> None:
    path = daemon.folder / name
    before = path.read_text()
    path.write_text(text)
    daemon.process.send_signal(signal.SIGHUP)
    assert told in daemon.until("ConfigurationRefused", what="configuration")["why"]
    status = daemon.status()
    assert status["configuration"]["refused_at"] > status["started_at"]
    assert daemon.says("hi")["replies"] == ["one"]
    path.write_text(before)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until("ConfigurationLoaded", what="configuration")
    assert daemon.status()["configuration"]["refused_at"] == 0
    assert daemon.says("hi")["replies"] == ["one"]


def test_a_reload_is_whole_although_its_caller_hangs_up(daemon: Daemon) -> None:
    path = daemon.folder / "oclaw.toml"
    path.write_text(path.read_text() + "body_bytes = 12345\n")  # of the last channel, oncall, which is replaced
    with socket.socket(socket.AF_UNIX) as plug:
        plug.connect(str(paths.control_socket(daemon.folder, os.environ)))
        plug.sendall(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    assert "channel oncall changed" in daemon.until("ConfigurationLoaded", what="configuration")["changes"]
    assert daemon.says("hi", channel="oncall")["replies"] == ["one"]


def test_replies_that_wait_for_a_channel_that_is_gone_are_told() -> None:
    assert stranded({"shop": 2, "desk": 1, "irc": 0}, ["desk"]) == (
        "replies wait for channel shop, which is not there: 2",
    )


def test_how_much_is_logged_follows_a_reload(daemon: Daemon) -> None:
    path = daemon.folder / "oclaw.toml"
    before = path.read_text()
    (daemon.folder / "hooks" / "quoting.py").write_text("def quoting(message):\n    raise KeyError(message.content)\n")

    def logged(more: str) -> list[str]:
        hook = '[[hooks.inbound]]\nuse = "quoting:quoting"\n'
        path.write_text(before.replace('log_format = "json"\n', f'log_format = "json"\n{more}') + hook)
        changes: list[str] = daemon.control.post("reload")["changes"]
        daemon.says("a word of theirs")
        return changes

    logged("")
    assert "a word of theirs" not in daemon.until("HookFailed")["error"]
    assert logged('log_level = "debug"\nlog_content = true\n') == [
        "[gateway] log_level changed",
        "[gateway] log_content changed",
    ]
    assert "a word of theirs" in daemon.until("HookFailed")["error"]
    daemon.says("hi")
    daemon.until("EnvelopeAccepted")
    logged("")
    assert "a word of theirs" not in daemon.until("HookFailed")["error"]
    path.write_text(before)
    daemon.control.post("reload")
