"""What the gateway may open, and which of its doors are open."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import pytest

from gateway.cli.checkup import machine
from gateway.config.settings import ListenSettings, Settings
from gateway.daemon import doors


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
