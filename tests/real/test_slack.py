"""Replies against a Slack that others wrote: npm's `emulate`, installed on first use, alone in a network of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

HOUSE = Path(__file__).parents[2]
BOX = Path(__file__).with_name("slack_in_a_box.py")
_FOLDER = Path(os.environ.get("OCLAW_REAL", HOUSE / "build" / "real")) / "emulate"
# 1.0 is another project's, 0.12 needs a newer Node.
_PACKAGE = "emulate@0.8.0"


@pytest.fixture(scope="module")
def emulator() -> Path:
    for tool in ("node", "npm", "unshare"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system makes no network namespaces")
    if not (_FOLDER / ".installed").exists():
        _install()
    return _FOLDER


def _install() -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(_FOLDER), _PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{_PACKAGE} was not installed within two minutes")
    if done.returncode:
        pytest.skip(f"{_PACKAGE} does not install: {done.stderr[-300:]}")
    (_FOLDER / ".installed").touch()


def test_replies_edits_reactions_streams_files_and_deletes_stand_where_they_belong(emulator: Path) -> None:
    command = ["unshare", "-rn", sys.executable, str(BOX), str(emulator)]
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["state"] == "ready"
    assert found["posted"].startswith("Delivered(remote_id='")
    assert found["nowhere"].startswith("Bounced") and "channel_not_found" in found["nowhere"]
    assert found["reacted"] == found["deleted"] == ["Delivered", "Delivered"], "done already counts as done"
    assert {found[step] for step in ("in_thread", "edited", "streamed")} == {"Delivered"}
    assert found["file"].startswith("Delivered")
    assert found["texts"] == ["look", "one two three", "changed"]
    assert found["texts_after"] == ["look", "one two three"]
