"""`oclaw doctor`: what is in order is said, what is not comes with a way out; one channel's failure stops no other."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trustme
from click.testing import CliRunner

from gateway.channels.shared.errors import ConnectionLost
from gateway.cli.checkup import channels, machine, place
from gateway.cli.checkup.certificate import certificate
from gateway.cli.frame import oclaw
from gateway.config.load import load
from gateway.config.settings import ListenSettings, Settings
from gateway.journal import FILE_NAME
from gateway.journal.opening import open_for_writing, told
from gateway.journal.schema import VERSION
from gateway.plugins import PluginTable
from gateway.ports import Finding

CONFIG = '[listen]\naddresses = ["127.0.0.1:0"]\n\n[channels.chat]\ntype = "webchat"\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "oclaw.toml").write_text(CONFIG)
    return folder


def asked(config: Path, *options: str) -> Any:
    return CliRunner().invoke(oclaw, ["doctor", "--config", str(config), *options], catch_exceptions=False)


def test_a_fresh_configuration_is_in_order(config: Path) -> None:
    answer = asked(config)
    assert answer.exit_code == 0, answer.output
    assert "no faults" in answer.output
    assert "127.0.0.1:0 is free" in answer.output
    assert "webchat calls the gateway; there is nothing to try" in answer.output


def test_a_channel_whose_credential_only_the_service_has_is_left_alone(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    shop = '\n[channels.shop]\ntype = "webhook"\nauth = "bearer"\ntokens = ["credential:shop"]\n'
    (config / "oclaw.toml").write_text(CONFIG + shop)
    for options in ((), ("shop",)):
        answer = asked(config, *options)
        assert answer.exit_code == 0, answer.output
        assert "ok   channels.shop: needs credential:shop, which systemd passes" in answer.output
        assert ("webchat" in answer.output) == (not options)


def test_every_finding_is_there_as_json(config: Path) -> None:
    findings = json.loads(asked(config, "--json").stdout)
    assert {"machine", "configuration", "state", "port", "channels.chat"} == {each["place"] for each in findings}


def test_a_wrong_configuration_is_a_finding_that_points_to_check(config: Path) -> None:
    (config / "oclaw.toml").write_text("[listen]\nadresses = []\n")
    answer = asked(config)
    assert answer.exit_code == 1
    assert "NOT  configuration" in answer.output and "oclaw check" in answer.output


def test_a_port_that_somebody_else_holds_is_found(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        (finding,) = place.port((address,), config)
    assert not finding.ok and address in finding.what and finding.way_out


def test_an_open_key_ring_and_a_damaged_journal_are_found(tmp_path: Path) -> None:
    (tmp_path / "keyring").write_text("keys")
    (tmp_path / "keyring").chmod(0o644)
    (tmp_path / "journal.sqlite3").write_bytes(b"not a database at all" * 100)
    wrong = [finding for finding in place.state(tmp_path) if not finding.ok]
    assert ["mode 0644" in wrong[0].what, "journal" in wrong[1].what] == [True, True]


def test_a_journal_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def foreign(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    (tmp_path / FILE_NAME).write_bytes(b"of another user")
    monkeypatch.setattr("gateway.journal.maintenance.connect", foreign)
    journal = place.state(tmp_path)[-1]
    assert (journal.ok, "damaged" in journal.what, "export" in journal.way_out) == (False, False, False)
    assert journal.way_out.startswith("It must be a plain file of the gateway's user")


def test_too_few_files_are_found() -> None:
    assert machine.files(1).ok
    assert "LimitNOFILE" in machine.files(10**9).way_out


class Tried:
    """A channel that can be tried, and does as it is told."""

    platform = "memory"

    def __init__(self, name: str, does: Callable[[Callable[[Finding], None]], Any] | None) -> None:
        self.name = name
        if does is not None:
            self.doctor = does


async def test_one_channel_that_hangs_or_breaks_stops_no_other(
    config: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    async def hangs(tell: Callable[[Finding], None]) -> None:
        tell(Finding(ok=True, what="the name is resolved"))
        await trio.sleep_forever()

    async def breaks(tell: Callable[[Finding], None]) -> None:
        raise OSError("no route")

    async def works(tell: Callable[[Finding], None]) -> None:
        tell(Finding(ok=True, what="signed in"))

    async def breaks_in_a_nursery(tell: Callable[[Finding], None]) -> None:
        async with trio.open_nursery():
            raise ConnectionLost("no address of that name")

    async def ends(tell: Callable[[Finding], None]) -> None:
        sys.exit(3)

    does = {"h": hangs, "b": breaks, "g": breaks_in_a_nursery, "e": ends, "w": works, "n": None}
    parts = SimpleNamespace(channels={name: Tried(name, what) for name, what in does.items()})
    monkeypatch.setattr("gateway.cli.checkup.channels.build", lambda *_: parts)
    settings: Settings = load(config, PluginTable(config / "hooks"))
    heard: dict[str, list[Finding]] = {}
    await channels.try_channels(
        settings, PluginTable(config / "hooks"), lambda where, finding: heard.setdefault(where, []).append(finding)
    )
    assert [each.ok for each in heard["channels.h"]] == [True, False]
    assert "20 s" in heard["channels.h"][1].what
    assert "OSError: no route" in heard["channels.b"][0].what
    assert heard["channels.g"][0].what == "no address of that name"
    assert "SystemExit: 3" in heard["channels.e"][0].what
    assert heard["channels.w"] == [Finding(ok=True, what="signed in")]
    assert heard["channels.n"][0].ok


def test_a_server_that_is_not_there_is_told_in_the_systems_words(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    section = f'\n[channels.irc]\ntype = "irc"\nhost = "localhost"\nport = {port}\ntls = false\nnick = "o"\n'
    (config / "oclaw.toml").write_text(CONFIG + section)
    told = next(line for line in asked(config).output.splitlines() if "channels.irc" in line)
    assert told == f"NOT  channels.irc: cannot connect to localhost:{port}: Connection refused"


def test_what_a_server_says_does_not_steer_the_terminal(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Finding(ok=False, what="it says \x1b[2J\x9b1A", way_out="Ask \x07it.")
    monkeypatch.setattr(machine, "clock", lambda: said)
    assert "machine: it says \ufffd[2J\ufffd1A\n     Ask \ufffdit.\n" in asked(config).stdout


def test_a_journal_without_its_key_ring_is_not_in_order(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    missing = place.state(tmp_path)[1]
    assert (missing.ok, missing.way_out) == (False, "Put it back from its backup.")


def test_what_the_gateway_would_not_start_with_is_found(tmp_path: Path) -> None:
    open_for_writing(tmp_path / FILE_NAME).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as newer:
        newer.execute("PRAGMA user_version = 999")
    (tmp_path / "dictionaries").mkdir()
    (tmp_path / "dictionaries" / "own.zdict").write_text("half of one")
    _, _, dictionary, journal = place.state(tmp_path)
    assert not dictionary.ok and "own.zdict is not a trained zstd dictionary" in dictionary.what
    assert not journal.ok and journal.what.endswith(f"has version 999; this oclaw knows versions up to {VERSION}")
    assert journal.way_out.startswith("Run the newer oclaw again")


def test_how_long_the_certificate_lasts_is_told_and_what_keeps_it_from_being_shown(tmp_path: Path) -> None:
    def told(days: float, *, lasts: float = 90, key_of: str = "port") -> tuple[bool, str, bool]:
        now, authority = datetime.now(UTC), trustme.CA()
        for name in ("port", "other"):
            made = authority.issue_cert("localhost", not_before=now, not_after=now + timedelta(days=lasts))
            made.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
            made.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        listen = ListenSettings(tls_certificate="port.pem", tls_key=f"{key_of}.key")
        settings = Settings(directory=tmp_path, state_dir=tmp_path, listen=listen)
        (found,) = certificate(settings, (now + timedelta(days=days)).timestamp())
        return found.ok, found.what, bool(found.way_out)

    fresh, late, short = told(1), told(70), told(1, lasts=6)
    assert (fresh[0], fresh[2], " lasts 89 days more" in fresh[1]) == (True, False, True)
    assert (late[0], late[2], " lasts 20 days more" in late[1]) == (True, True, True)
    assert (short[0], short[2]) == (True, False), "one of six days is renewed when two thirds are over"
    assert (told(90)[0], "has run out" in told(90)[1]) == (False, True)
    assert (told(-1)[0], "counts from" in told(-1)[1]) == (False, True)
    assert (told(1, key_of="other")[0], "key values mismatch" in told(1, key_of="other")[1]) == (False, True)
    assert (told(1, key_of="no")[0], "No such file" in told(1, key_of="no")[1]) == (False, True)


def test_a_warning_is_told_with_its_way_out_and_all_is_well(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Finding(ok=True, what="it lasts 3 days more", way_out="Renew it.")
    monkeypatch.setattr(machine, "clock", lambda: said)
    answer = asked(config)
    assert answer.exit_code == 0 and "!!   machine: it lasts 3 days more\n     Renew it.\n" in answer.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_has_put_into_the_services_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for path in (tmp_path, tmp_path / "media"):
        os.chown(path, 65_000, 65_001)
    assert all(each.ok for each in place.state(tmp_path))
    (tmp_path / "restored").touch()
    found = [each for each in place.state(tmp_path) if not each.ok]
    assert [each.what.split()[0] for each in found] == ["restored"]
    assert f"chown -R --reference={tmp_path}/" in found[0].way_out


def test_what_sqlite_finds_is_told_in_one_line() -> None:
    assert told("*** in database main ***\nPage 3: never used\nPage 4: never used") == (
        "Page 3: never used; Page 4: never used"
    )


@pytest.mark.parametrize(("free", "told"), [(4_200_000, "4 MB"), (310_000_000, "0.3 GB")])
def test_how_little_room_there_is_is_told_in_a_unit_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    room = place.state(tmp_path)[0]
    assert not room.ok and room.what.startswith(f"{told} are free")
