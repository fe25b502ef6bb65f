"""What a person reads when the gateway cannot start, and with which exit code systemd is told."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import errors
from gateway.cli.frame import oclaw
from gateway.config import paths
from gateway.config.keyfile import create_keyring
from gateway.daemon import exit_code
from gateway.daemon.ground import prepare_state
from gateway.journal import FILE_NAME
from gateway.message.keyring import new_keyring
from tests.support.rules_daemon import write_configuration


def start(conf: Path, **environment: str) -> tuple[int, str]:
    """Run the gateway, which is to end by itself; return its exit code and what it said."""
    ours = {name: value for name, value in os.environ.items() if name not in ("STATE_DIRECTORY", "OCLAW_CONFIG")}
    ours |= {"RUNTIME_DIRECTORY": str(conf.absolute().parent / "run"), **environment}
    command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(conf)]
    done = subprocess.run(command, env=ours, capture_output=True, text=True, timeout=180, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return write_configuration(tmp_path)


def change(conf: Path, old: str, new: str) -> None:
    path = conf / "oclaw.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(("place", "why"), [("file/state", "Not a directory"), ("file", "File exists")])
def test_a_state_directory_that_cannot_be_made_is_a_setting_to_change(conf: Path, place: str, why: str) -> None:
    change(conf, str(conf.parent / "state"), str(conf.parent / place))
    code, said = start(conf)
    assert (code, "Traceback" in said) == (78, False)
    assert f"the state directory is {conf.parent / place}, which cannot be made ({why})" in said


def test_all_faults_are_listed_with_the_whole_path_of_the_file(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(conf)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with (conf / "oclaw.toml").open("a") as file:
        file.write('[gatway]\n[flow]\nmax_waiting = "many"\n')
    code, said = start(Path())
    assert (code, said.count("oclaw: ")) == (78, 1)
    heading, first, second = said.splitlines()
    assert heading == "oclaw: 2 faults in the configuration:"
    assert first.startswith("  gatway is unknown") and second.startswith("  flow.max_waiting is")
    (conf / "oclaw.toml").write_text("[gateway\n")
    assert f"  {conf}/oclaw.toml:1:9 is not TOML" in start(Path())[1]


def test_what_a_refused_start_quotes_steers_no_terminal_and_leaves_no_blob_in_the_journal(conf: Path) -> None:
    (conf / "rules.d" / "odd.rules").write_text('RULE "a"\t\x1b[2J\u2028 WHEN nothing\n')
    code, said = start(conf)
    heading, line, caret = said.splitlines()[1:4]
    assert (code, heading.partition(":")[0].strip()) == (78, "odd.rules")
    assert line.endswith('RULE "a" \ufffd[2J\ufffd WHEN nothing')
    assert caret.index("^") == line.index("\ufffd")


def test_a_port_that_somebody_holds_may_be_free_the_next_time(conf: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        change(conf, "127.0.0.1:0", f"127.0.0.1:{port}")
        code, said = start(conf)
    assert (code, "Traceback" in said) == (75, False)
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use" in said
    assert "JournalRecovered" not in said, "nothing is walked by a start that comes to nothing"
    assert "listen.addresses[0]" in said


def test_a_gateway_without_standard_streams_ends_with_the_same_codes(conf: Path) -> None:
    closed = ["sh", "-c", f'exec "$0" -m gateway.cli run --config {conf} <&- >&- 2>&-', sys.executable]
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(conf.parent / "run")}
    with socket.create_server(("127.0.0.1", 0)) as held:
        change(conf, "127.0.0.1:0", f"127.0.0.1:{held.getsockname()[1]}")
        assert subprocess.run(closed, env=environment, timeout=180, check=False).returncode == 75
    (conf / "oclaw.toml").write_text("[gateway")
    assert subprocess.run(closed, env=environment, timeout=180, check=False).returncode == 78


@pytest.mark.parametrize("place", ["file/gateway.sock", "x" * 120])
def test_a_unix_socket_that_cannot_be_is_a_setting_to_change(conf: Path, place: str) -> None:
    change(conf, "[listen]", f'[listen]\nunix_socket = "{conf.parent / place}"')
    code, said = start(conf)
    assert (code, "Traceback" in said) == (78, False)
    assert "listen.unix_socket is" in said


def test_a_folder_for_the_control_socket_that_cannot_be_made_is_named(conf: Path) -> None:
    code, said = start(conf, RUNTIME_DIRECTORY=str(conf.parent / "file" / "run"))
    assert (code, "Traceback" in said) == (78, False)
    assert "the control socket's folder is" in said


def test_a_folder_for_the_control_socket_that_others_may_write_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "oclaw-0"
    monkeypatch.setattr(paths, "runtime_dir", lambda environment: folder)
    assert not paths.is_ours(folder, {})
    folder.mkdir(mode=0o700)
    assert paths.is_ours(folder, {})
    assert paths.control_sockets(tmp_path, {})[0].parent == folder
    folder.chmod(0o777)
    assert not paths.is_ours(folder, {})
    assert paths.is_ours(folder, {"RUNTIME_DIRECTORY": str(folder)})
    assert [path.parent for path in paths.control_sockets(tmp_path, {})] == [paths.SYSTEMD_RUNTIME]
    folder.chmod(0o700)
    (tmp_path / "link").symlink_to(folder)
    assert not paths.is_ours(tmp_path / "link", {}), "where a link leads may be changed by who made it"


@pytest.mark.parametrize("name", [FILE_NAME, f"{FILE_NAME}.lock", "running"])
def test_what_is_not_ours_to_write_in_the_state_directory_needs_a_person(conf: Path, name: str) -> None:
    state = conf.parent / "state"
    state.mkdir()
    create_keyring(state / "keyring", new_keyring(0.0, os.urandom))
    (state / name).mkdir()
    code, said = start(conf)
    assert (code, "Traceback" in said) == (78, False)
    assert f"{state}/{name} cannot be " in said and "Is a directory" in said


def test_a_unix_socket_that_somebody_serves_may_be_free_the_next_time(conf: Path) -> None:
    path = conf.parent / "gateway.sock"
    change(conf, "[listen]", f'[listen]\nunix_socket = "{path}"')
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        held.listen()
        code, said = start(conf)
    assert (code, "Traceback" in said) == (75, False)
    assert f"Cannot listen on {path}: another process serves it." in said


def test_an_address_that_the_host_does_not_have_may_come_up(conf: Path) -> None:
    change(conf, "127.0.0.1:0", "192.0.2.1:0")
    code, said = start(conf)
    assert (code, "Traceback" in said) == (75, False)
    assert "listen.addresses[0]" in said


def test_systemd_starts_again_what_time_may_mend_and_nothing_else() -> None:
    needs_a_person = {
        errors.SettingErrors([]),
        errors.KeyRingError(),
        errors.JournalDamaged(),
        errors.JournalForbidden(),
        errors.UnknownDictionary(),
    }
    may_pass = {errors.KeyRingUnwritten(), errors.JournalFull(), errors.JournalBusy(), errors.AddressTaken()}
    assert {exit_code(error) for error in needs_a_person} == {78}
    assert {exit_code(error) for error in may_pass} == {75}
    unit = (Path(__file__).parents[2] / "systemd" / "oclaw.service").read_text("utf-8").splitlines()
    assert "RestartPreventExitStatus=78" in unit
    assert "StartLimitIntervalSec=0" in unit


def test_a_full_disk_may_have_space_again_and_a_foreign_folder_is_never_ours(tmp_path: Path) -> None:
    full, foreign = OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EACCES, "Permission denied")
    assert exit_code(errors.unwritable(tmp_path, full)) == 75
    assert exit_code(errors.unwritable(tmp_path, foreign)) == 78


def test_a_file_in_the_place_of_the_state_directory_does_not_pass(tmp_path: Path) -> None:
    for place in (tmp_path / "state", tmp_path / "link"):
        place.touch() if place.name == "state" else place.symlink_to("nowhere")
        with pytest.raises(errors.SettingErrors, match=f"the state directory is {place}, which cannot be made"):
            prepare_state(place)


def test_a_journal_whose_key_ring_is_missing_is_not_gone_on_with_under_another(conf: Path) -> None:
    state = conf.parent / "state"
    state.mkdir()
    (state / FILE_NAME).touch()
    code, said = start(conf)
    assert (code, "Traceback" in said) == (78, False)
    assert f"{state}/keyring is missing, and nothing in {state}/{FILE_NAME} opens without it" in said
    made = CliRunner().invoke(oclaw, ["keys", "new", "--config", str(conf)])
    assert (made.exit_code, "is missing, and nothing in" in made.stderr) == (1, True)
    assert "is missing, and nothing in" in CliRunner().invoke(oclaw, ["keys", "list", "--config", str(conf)]).stderr
    assert not (state / "keyring").exists()
