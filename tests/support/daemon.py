"""The real daemon in a process of its own: a folder is written, `oclaw run` started, the port read from its log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parents[2]
READY_SECONDS, STOP_SECONDS = 60.0, 40.0


class Daemon:
    """A running gateway. `log` holds every line it wrote, as objects; `port` is where it listens."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self.process, self.port = folder, process, 0
        self.log: list[dict[str, Any]] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """Where its HTTP side is."""
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self) -> None:
        """Return when it serves; fails with its log when it does not."""
        assert self._ready.wait(READY_SECONDS) and self.port, self.log

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join()
        return code

    def kill(self) -> None:
        """SIGKILL, when it still runs."""
        self.process.kill()
        self.process.wait()

    def told(self, *events: str) -> list[dict[str, Any]]:
        """Return the log lines of these notices."""
        return [line for line in self.log if line.get("event") in events]

    def until_told(self, event: str) -> dict[str, Any]:
        """Return the latest log line of a notice, once there is one: it is written behind what it tells of."""
        ends = time.monotonic() + READY_SECONDS
        while not (told := self.told(event)):
            assert time.monotonic() < ends and self._reader.is_alive(), self.log[-5:]
            time.sleep(0.01)
        return told[-1]

    def cpu_seconds(self) -> float:
        """Return what the process has taken of a processor so far, however long it stood still meanwhile."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def oclaw(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI against this gateway."""
        command = [sys.executable, "-m", "gateway.cli", *arguments, "--config", str(self.folder / "config")]
        return subprocess.run(command, env=environment(self.folder), capture_output=True, text=True, **options)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": "", "text": text.decode(errors="replace")}
            self.log.append(line)
            if line.get("event") == "GatewayReady":
                self.port = int(line["addresses"].split(",")[0].rpartition(":")[2])
                self._ready.set()
        self._ready.set()


def environment(folder: Path, more: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the environment of a gateway whose folders are all below `folder`."""
    ours = {name: value for name, value in os.environ.items() if name != "OCLAW_CONFIG"}
    own = {"STATE_DIRECTORY": str(folder / "state"), "RUNTIME_DIRECTORY": str(folder / "run")}
    path = os.pathsep.join(filter(None, (more.get("PYTHONPATH", ""), str(HOUSE))))
    return {**ours, **own, **more, "PYTHONPATH": path}


@contextmanager
def scratch_folder(files: Mapping[str, str]) -> Iterator[Path]:
    """Make a folder with these files below config/; its path is short, since a Unix socket's may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="oclaw-") as made:
        folder = Path(made)
        for name, text in files.items():
            path = folder / "config" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        yield folder


@contextmanager
def daemon(folder: Path, more: Mapping[str, str] = {}) -> Iterator[Daemon]:
    """Run the gateway on a scratch folder; `more` are further environment variables."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "run", "--config", str(folder / "config")],
        env=environment(folder, more),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    running = Daemon(folder, process)
    try:
        running.wait_ready()
        yield running
    finally:
        running.kill()
