"""Reload the real daemon with a plugin's channels that misbehave: the others serve, and the reload comes to an end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.frame import NotDone
from tests.support.raw import Answer, Raw
from tests.support.rules_daemon import PATIENCE_SECONDS, Daemon, a_daemon

PLUGIN = """
import os
import msgspec, trio
from gateway.config.secret import Secret
from gateway.errors import SettingError
from gateway.message.receipt import Delivered
from gateway.ports import Traits


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    mood: str = "good"
    number: int = 0
    token: Secret | None = None


class Moody:
    platform, traits = "moody", Traits()

    def __init__(self, name, settings, kit):
        self.name, self._mood, self._token = name, settings.mood, settings.token
        self._needed = kit.config_dir + "/needed"

    @property
    def claims(self):
        if self._mood == "torn":
            raise LookupError("a bug")
        raise AttributeError

    async def run(self, inlet, *, task_status):
        if self._mood == "leaky":
            raise OSError("refused: " + self._token.reveal())
        if self._mood == "mute":
            await trio.sleep_forever()
        if self._mood == "needy" and not os.path.exists(self._needed):
            raise SettingError("needed", found="not there", wanted="there")
        task_status.started()
        try:
            with trio.CancelScope(shield=self._mood == "deaf"):
                await trio.sleep_forever()
        finally:
            open(f"{self._needed}-{self.name}-ended", "w").close()

    async def deliver(self, delivery):
        with open(self._needed + "-sent", "a") as file:
            file.write(delivery.message.metadata.get("back", "nowhere") + "\\n")
        return Delivered()

    def address_of(self, message):
        return {"back": "to " + message.sender.id}


def build(name, settings, kit):
    made = Moody(name, settings, kit)
    if settings.mood == "half":
        made.traits = None
    return made
"""
HOOK = """
import threading, time

def where(message):
    if message.content == "sleep":
        time.sleep(0.06)
    message.content = "main" if threading.current_thread() is threading.main_thread() else "thread"
"""
WAITS = """
import os
import trio

async def waits(message):
    while not os.path.exists("{ended}"):
        await trio.sleep(0.01)
    await trio.sleep(0.2)
"""
HOOKS = '[flow]\nhook_overruns = 1\n[[hooks.inbound]]\nuse = "mine:where"\n'


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    marks = tmp_path / "moody-1.0.dist-info"
    marks.mkdir()
    (marks / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n")
    (marks / "entry_points.txt").write_text("[oclaw.channels]\nmoody = moody\n")
    (tmp_path / "moody.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("MOODY_TOKEN", "s3cret-token")
    with a_daemon() as served:
        yield served


class Reloads:
    """Writes settings behind those the daemon began with, and reloads."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon, self._path = daemon, daemon.folder / "oclaw.toml"
        self._before = self._path.read_text()

    def with_(self, *more: str) -> Any:
        self._path.write_text(self._before + "\n".join(more))
        done = self._daemon.control.post("reload")
        assert self._daemon.says("hi")["state"] == "done"
        return done


def moody(mood: str, name: str = "moody", number: int = 0) -> str:
    return f'[channels.{name}]\ntype = "moody"\nmood = "{mood}"\nnumber = {number}\n'


def test_channels_that_neither_start_nor_stop_nor_attach_hold_up_nobody(daemon: Daemon) -> None:
    reload = Reloads(daemon).with_
    done = reload(moody("mute"), moody("deaf", "deaf"), moody("torn", "torn"), moody("good", "good"))
    assert done["applied"], done
    states = {child["name"]: child["state"] for child in daemon.status()["children"]}
    assert (states["moody"], states["deaf"], states["good"]) == ("starting", "ready", "ready")
    assert reload(moody("mute", number=1), moody("good", "deaf"), moody("good", "good"))["applied"]
    states = {child["name"]: child["state"] for child in daemon.status()["children"]}
    assert (states["deaf"], states["good"]) == ("ready", "ready")
    assert reload(moody("good"))["applied"]
    seen = [daemon.until("ChildCrashed", child="torn"), daemon.until("ChildLate", child="deaf", doing="stop")]
    assert "LookupError" in seen[0]["error"]


def test_a_reply_that_is_made_while_its_channel_is_replaced_finds_its_way(daemon: Daemon) -> None:
    reload, folder = Reloads(daemon).with_, daemon.folder
    (folder / "hooks" / "mine.py").write_text(WAITS.format(ended=folder / "needed-shop-ended"))
    hooks = '[[hooks.inbound]]\nuse = "mine:waits"\nonly = ["shop"]\ndeadline_ms = 60000\n'
    assert reload(hooks, moody("good", "shop"), moody("deaf", "deaf"))["applied"]
    assert daemon.says("hello", channel="shop", sender="ann", wait_seconds=0)["state"] == "accepted"
    assert reload(hooks, moody("good", "shop", number=1), moody("good", "deaf"))["applied"]
    sent, ends = folder / "needed-sent", time.monotonic() + PATIENCE_SECONDS
    while not (sent.exists() and sent.read_text()):
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert sent.read_text() == "to ann\n"


def test_a_channel_that_does_not_end_is_named_and_the_gateway_ends_without_it(daemon: Daemon) -> None:
    assert Reloads(daemon).with_(moody("deaf"))["applied"]
    daemon.process.terminate()
    daemon.until("ChildLate", child="moody", doing="stop")
    assert daemon.process.wait(PATIENCE_SECONDS) == 0


def test_what_is_no_channel_is_refused(daemon: Daemon) -> None:
    with pytest.raises(NotDone, match="made without traits"):
        Reloads(daemon).with_(moody("half"))
    assert daemon.says("hi")["state"] == "done"


def test_a_channel_that_was_given_up_is_tried_again_by_a_reload_that_changes_nothing(daemon: Daemon) -> None:
    reload = Reloads(daemon).with_
    assert reload(moody("needy"))["applied"]
    assert {child["name"]: child["state"] for child in daemon.status()["children"]}["moody"] == "failed"
    (daemon.folder / "needed").touch()
    assert reload(moody("needy"))["changes"] == ["channel moody started again"]
    assert {child["name"]: child["state"] for child in daemon.status()["children"]}["moody"] == "ready"


def test_a_secret_that_a_channel_breaks_with_is_masked_wherever_it_is_told(daemon: Daemon) -> None:
    assert Reloads(daemon).with_(moody("leaky"), 'token = "env:MOODY_TOKEN"\n')["applied"]
    status = daemon.status()
    (broken,) = [child for child in status["children"] if child["name"] == "moody"]
    assert "refused: [secret]" in broken["last_error"]
    # It may have been tried again by now.
    assert {error["text"][:25] for error in status["last_errors"]} == {"OSError: refused: [secret"}
    assert "s3cret-token" not in str(status)


def test_a_hook_that_was_moved_off_the_loop_stays_there_until_something_about_it_changes(daemon: Daemon) -> None:
    reload, file = Reloads(daemon).with_, daemon.folder / "hooks" / "mine.py"
    file.write_text(HOOK)
    reload(HOOKS)
    assert daemon.says("here")["replies"] == ["main"]
    daemon.says("sleep")
    assert daemon.says("here")["replies"] == ["thread"]
    reload(HOOKS, moody("good"))
    assert daemon.says("here")["replies"] == ["thread"]
    file.write_text(HOOK + "\n# mended\n")
    assert reload(HOOKS)["changes"] == ["channel moody removed", "hooks/mine.py changed"]
    assert daemon.says("here")["replies"] == ["main"]


def test_callers_of_a_changed_channel_are_told_to_come_again_and_not_that_it_is_gone(daemon: Daemon) -> None:
    reload, port, body = Reloads(daemon).with_, daemon.port, '{"text": "x"}'
    shop = '[channels.shop]\ntype = "webhook"\nauth = "none"\nbody_bytes = {}\n'
    request = ["POST /channels/shop HTTP/1.1", "Host: localhost", "Content-Type: application/json",
               f"Content-Length: {len(body)}", "", body]  # fmt: skip

    def post() -> Answer:
        with Raw(port) as connection:
            connection.write("\r\n".join(request).encode())
            return connection.answer()

    reload(moody("deaf", "deaf"), shop.format(2000))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(reload, moody("good", "deaf"), shop.format(3000))
        while (answer := post()).status == 202 and not done.done():
            pass
        assert (answer.status, answer.fields.get("retry-after")) == (503, "1")
        assert done.result()["applied"]
    assert post().status == 202
