"""`make test-real`: get Synapse and ngIRCd, then try every platform at once, as most of the time is waiting.

What cannot be installed here (no registry, no root) is named at once; its tests are skipped, and the rest runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from tests.real import ngircd, synapse, systemd_box
from tests.real.missing import Missing

FOLDER = Path(__file__).parent
# Twice what the slowest part takes on two busy cores; with the installation less than .ci/run allows.
_MOST_SECONDS = 390.0
_NOTHING_FOUND = 5


class Run:
    """The parts, and the first of their exit codes that is not 0."""

    def __init__(self, pytest: Sequence[str]) -> None:
        self._pytest = pytest
        self._began = time.monotonic()
        self.code = 0

    async def part(self, name: str, prepare: Callable[[], object], files: Sequence[str]) -> None:
        """Install what a part needs, run its tests in a process of their own, show what they said."""
        try:
            await trio.to_thread.run_sync(prepare)
        except Missing as missing:
            self._say(f"{name}: SKIPPED. {missing}")
            return
        self._say(f"{name}: server ready")
        async with trio.open_nursery() as nursery:
            for file in files:
                nursery.start_soon(self._tests, file)

    async def _tests(self, file: str) -> None:
        command = [sys.executable, "-m", "pytest", "-m", "real", "-rs", *self._pytest, str(FOLDER / file)]
        process = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        assert process.stdout is not None
        said = bytearray()
        try:
            with trio.move_on_after(_MOST_SECONDS) as patience:
                async for piece in process.stdout:
                    said += piece
                await process.wait()
        finally:
            # The servers are children of the tests, and of the same session.
            _end(process.pid)
        code = 1 if patience.cancelled_caught else process.returncode
        late = f"\nwas ended after {_MOST_SECONDS:.0f} s" if patience.cancelled_caught else ""
        self._say(f"{file}: {said.decode(errors='replace').strip()}{late}")
        if code not in (0, _NOTHING_FOUND):
            self.code = self.code or code or 1

    def _say(self, text: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - self._began:4.0f} s] {text}\n")
        sys.stdout.flush()


def _end(session: int) -> None:
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        pass


async def main(pytest: Sequence[str]) -> int:
    """Run all parts; `pytest` are further arguments for it."""
    run = Run(pytest)
    async with trio.open_nursery() as watching:
        watching.start_soon(_end_when_told, run, watching.cancel_scope)
        await _all_parts(run)
        watching.cancel_scope.cancel()
    return run.code


async def _end_when_told(run: Run, scope: trio.CancelScope) -> None:
    """Leave no server behind when whoever started us has no more time."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            run.code = 128 + signal.SIGTERM
            scope.cancel()


async def _all_parts(run: Run) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            run.part, "Matrix (Synapse)", synapse.installed, ("test_matrix.py", "test_matrix_features.py")
        )
        nursery.start_soon(run.part, "IRC (ngIRCd)", ngircd.program, ("test_irc.py",))
        nursery.start_soon(run.part, "systemd (a container)", systemd_box.installed, ("test_systemd.py",))
        nursery.start_soon(run.part, "Slack (emulate)", lambda: None, ("test_slack.py",))


if __name__ == "__main__":
    sys.exit(trio.run(partial(main, sys.argv[1:])))
