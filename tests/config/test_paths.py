"""A tool beside the service finds the service's state; whatever else runs keeps its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.frame import oclaw
from gateway.config import keyfile, paths
from gateway.message.keyring import new_keyring


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which the service has run, with its state behind a link as DynamicUser makes it."""
    for name, folder in (("CONFIG", "etc"), ("STATE", "lib"), ("RUNTIME", "run")):
        monkeypatch.setattr(paths, f"SYSTEMD_{name}", tmp_path / folder)
    for folder in ("etc", "private", "run", "home"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lib").symlink_to("private")
    (tmp_path / "etc" / "oclaw.toml").touch()
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "etc"


def test_the_services_configuration_has_the_services_state(etc: Path) -> None:
    assert paths.state_beside(etc, "", {"HOME": "/root"}) == paths.SYSTEMD_STATE
    assert paths.state_beside(etc, "", {"STATE_DIRECTORY": "/elsewhere"}) == Path("/elsewhere")


def test_a_setting_counts_where_a_gateway_has_followed_it(etc: Path, tmp_path: Path) -> None:
    assert paths.state_beside(etc, "../own", {}) == paths.SYSTEMD_STATE, "systemd's variable wins over the setting"
    (tmp_path / "own").mkdir()
    assert paths.state_beside(etc, "../own", {}) == tmp_path / "own"


def test_another_configuration_keeps_its_own_unless_the_service_runs_it(etc: Path, tmp_path: Path) -> None:
    other, environment = tmp_path / "home", {"HOME": str(tmp_path)}
    assert paths.state_beside(other, "", environment) == paths.state_dir(other, "", environment)
    paths.control_socket(other, {"RUNTIME_DIRECTORY": str(paths.SYSTEMD_RUNTIME)}).touch()
    assert paths.state_beside(other, "", environment) == paths.SYSTEMD_STATE


def test_without_a_service_there_is_no_other_place(etc: Path) -> None:
    paths.SYSTEMD_STATE.unlink()
    assert paths.state_beside(etc, "", {"HOME": "/root"}) == paths.state_dir(etc, "", {"HOME": "/root"})


def test_commands_beside_the_service_work_on_its_keys(etc: Path) -> None:
    keyfile.create_keyring(paths.SYSTEMD_STATE / "keyring", new_keyring(0, os.urandom))
    listed = CliRunner().invoke(oclaw, ["keys", "list", "--config", str(etc)])
    assert (listed.exit_code, "active" in listed.stdout) == (0, True)
    made = CliRunner().invoke(oclaw, ["keys", "new", "--config", str(etc)])
    assert made.exit_code == 1 and "is there already" in made.stderr
    assert not list((etc.parent / "home").iterdir())
    tried = CliRunner().invoke(oclaw, ["doctor", "--config", str(etc)])
    assert "the key ring opens" in tried.stdout
