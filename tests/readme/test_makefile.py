"""`make run`: what a machine lacks is named; once installed, it says where the chat is and hands over to oclaw."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("", ["Web chat: http://127.0.0.1:8420/ (stop with Ctrl-C)"]),
        ("[listen]\nmax_connections = 100\n", ["Web chat: http://127.0.0.1:8420/ (stop with Ctrl-C)"]),
        ('[listen]\naddresses = ["127.0.0.1:1", "[::1]:2"]\n', ["Web chat: http://127.0.0.1:1/ (stop with Ctrl-C)"]),
        ('[listen]\naddresses = []\nunix_socket = "x"\n', []),
    ],
)
def test_make_run_starts_every_configuration_that_is_right(listen: str, said: list[str], tmp_path: Path) -> None:
    demo, tools = tmp_path / "demo", tmp_path / "venv" / "bin"
    demo.mkdir()
    tools.mkdir(parents=True)
    (demo / "oclaw.toml").write_text(listen)
    for name, does in (("python", f'exec {sys.executable} "$@"'), ("oclaw", 'echo "$@"')):
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "venv" / ".installed").touch()
    command = ["make", "-s", "run", f"DEMO={demo}", f"VENV={tmp_path / 'venv'}"]
    # The suite may be run by make itself, whose own flags are not meant for this one.
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, cwd=HOUSE, env=ours, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [*said, f"run --config {demo}"]


def test_a_missing_venv_module_is_named_by_the_package_of_this_very_python(tmp_path: Path) -> None:
    # The package python3-venv serves the system's own Python alone, which may be an older one.
    (tmp_path / "ensurepip.py").write_text("raise ImportError\n")
    command = ["make", "-s", "run", f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}"]
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    ours["PYTHONPATH"] = os.fspath(tmp_path)
    done = subprocess.run(command, cwd=HOUSE, env=ours, capture_output=True, text=True, timeout=60, check=False)
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert (done.returncode, f"sudo apt-get install {package}" in done.stdout) == (2, True)
    assert not (tmp_path / "venv").exists()
