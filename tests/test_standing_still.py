"""A test that stands still, with a mocked clock or without, costs its limit and says where it stood."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOREVER = """
import time, trio

async def test_nobody_will_come(autojump_clock):
    await trio.Event().wait()

def test_a_step_never_ends():
    time.sleep(1000)

def test_the_others_are_still_run():
    pass
"""


def test_a_test_that_stands_still_is_ended_and_named(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_it.py").write_text(FOREVER)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nlimit_seconds = 0.3\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio", "test_it.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "2 failed, 1 passed" in run.stdout, run.stdout + run.stderr
    assert "test_it.py::test_nobody_will_come stood still for 0.3 s" in run.stdout
    assert "test_it.py:5 test_nobody_will_come" in run.stdout, "the task's own line is told"
    assert "test_it.py::test_a_step_never_ends stood still for 1.2 s" in run.stdout
