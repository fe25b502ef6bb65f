"""The running daemon takes a rotated key ring at once, and none with which it could not go on."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator

import pytest
import trio
from click.testing import CliRunner

from gateway.cli.frame import NotDone, oclaw
from gateway.journal import FILE_NAME, open_journal
from gateway.message.keyring import format_keyring, new_keyring, parse_keyring
from tests.support.rules_daemon import PATIENCE_SECONDS, Daemon, a_daemon

KEY_AT = 7  # in a sealed record, gateway/message/README.md


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with a_daemon() as served:
        yield served


def rotate(daemon: Daemon) -> list[str]:
    done = CliRunner().invoke(oclaw, ["keys", "rotate", "--config", str(daemon.folder), "--json"])
    assert (done.exit_code, done.stderr) == (0, "")
    return [row["key"] for row in json.loads(done.stdout)]


def keys_of(daemon: Daemon, *ids: str) -> list[str]:
    """Stop the daemon and name the keys with which it sealed these messages."""
    daemon.process.terminate()
    assert daemon.process.wait(PATIENCE_SECONDS) == 0

    async def read() -> list[str]:
        async with open_journal(daemon.folder.parent / "state" / FILE_NAME) as journal:
            rows = [await journal.message(id) for id in ids]
            return [f"{struct.unpack_from('>I', row.sealed, KEY_AT)[0]:08x}" for row in rows if row is not None]

    return trio.run(read)


def test_what_comes_after_a_rotation_is_sealed_with_the_fresh_key(daemon: Daemon) -> None:
    before = daemon.says("one")["id"]
    fresh, old = rotate(daemon)
    assert daemon.until("ConfigurationLoaded")["changes"] == f"records are sealed with key {fresh}"
    after = daemon.says("two")["id"]
    assert daemon.control.get("trace", before)["content"] == "one"
    assert keys_of(daemon, before, after) == [old, fresh]


def test_a_ring_with_which_it_could_not_go_on_is_refused(daemon: Daemon) -> None:
    fresh, old = rotate(daemon)
    place = daemon.folder.parent / "state" / "keyring"
    whole = place.read_text()

    def refused(text: str | None) -> str:
        place.unlink()
        if text is not None:
            place.touch(0o600)
            place.write_text(text)
        with pytest.raises(NotDone) as caught:
            daemon.control.post("reload")
        assert daemon.status()["configuration"]["refused"] in str(caught.value)
        place.touch(0o600)
        return str(caught.value)

    assert f"no longer has the key {old}" in refused(whole.partition("retired")[0])
    assert "another index key" in refused(format_keyring(new_keyring(0, os.urandom)))
    assert "no key ring of this version" in refused("lost")
    assert "is gone" in refused(None)
    id = daemon.says("still here")["id"]
    place.write_text(whole)
    assert daemon.control.post("reload")["changes"] == []
    assert parse_keyring(whole).active.id == int(fresh, 16)
    assert keys_of(daemon, id) == [fresh]
