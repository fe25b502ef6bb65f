"""What the gateway may open, and which of its doors are open."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.cli.checkup import machine
from gateway.config.settings import ListenSettings, Settings
from gateway.daemon import doors
from gateway.errors import AddressTaken, SettingErrors


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert machine.files(before[1] - 256).ok, "the gateway raises its limit, so doctor counts with the higher one"
        doors.allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("passed", ["tcp", "the same"])
def test_a_unix_socket_is_opened_beside_what_systemd_passes(
    passed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "s")
    held = socket.create_server(("127.0.0.1", 0)) if passed == "tcp" else socket.socket(socket.AF_UNIX)
    if passed != "tcp":
        held.bind(place)
        held.listen()
    monkeypatch.setattr(doors, "FIRST_PASSED", held.detach())
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    listen = ListenSettings(addresses=("192.0.2.1:1",), unix_socket="s")
    opened = doors.open_listeners(
        Settings(directory=tmp_path, state_dir=tmp_path, listen=listen), control=tmp_path / "control"
    )
    families = [each.socket.family for each in opened.public]
    for each in (*opened.public, *opened.control):
        each.socket.close()
    assert families == ([socket.AF_INET, socket.AF_UNIX] if passed == "tcp" else [socket.AF_UNIX])


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may write; not below what belongs to whom the tests run as."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_socket_that_another_user_left_is_for_a_person_to_remove(open_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(open_folder / "s"))
    (open_folder / "s").chmod(0)
    before = os.geteuid()
    listen = ListenSettings(addresses=(), unix_socket=str(open_folder / "s"))
    settings = Settings(directory=open_folder, state_dir=open_folder, listen=listen)
    if before == 0:  # whom no mode keeps from anything
        os.seteuid(65_534)
    try:
        with pytest.raises(SettingErrors, match="the socket there is another user's"):
            doors.open_listeners(settings, control=open_folder / "control")
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("lacks", ["names", "room"])
def test_what_a_boot_brings_late_is_waited_for(lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_names(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    class Full(socket.socket):
        def bind(self, _: object) -> None:
            raise OSError(ENOSPC, "No space left on device")

    if lacks == "names":
        monkeypatch.setattr(socket, "getaddrinfo", no_names)
    else:
        monkeypatch.setattr(socket, "socket", Full)
    listen = ListenSettings(addresses=("gateway.lan:1",) if lacks == "names" else (), unix_socket="s")
    settings = Settings(directory=tmp_path, state_dir=tmp_path, listen=listen)
    with pytest.raises(AddressTaken, match="does not resolve now" if lacks == "names" else "No space left"):
        doors.open_listeners(settings, control=tmp_path / "control")
