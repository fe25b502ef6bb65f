"""The real daemon as a process of its own, for tests: a small configuration, an ephemeral port, its log as events."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.cli.control import Control

SETTINGS = """
[gateway]
default_pipeline = "chat"
state_dir = "{state}"
log_format = "json"
[listen]
addresses = ["127.0.0.1:0"]
[models.echo]
provider = "echo"
[models.loud]
provider = "echo"
template = "LOUD {{text}}"
[channels.desk]
type = "webhook"
auth = "none"
[channels.oncall]
type = "webhook"
auth = "none"
"""
# What a shared machine may take for anything at all.
PATIENCE_SECONDS = 60.0


class Daemon:
    """A running gateway and its configuration folder."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self.rules, self.process = folder, folder / "rules.d", process
        self.control = Control(folder)
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """Return the next log line of this event whose fields are these."""
        seen = []
        while True:
            try:
                line = self._events.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                raise AssertionError(f"no {event} came; seen: {seen}") from None
            seen.append(line)
            if line.get("event") == event and all(line.get(name) == value for name, value in fields.items()):
                return line

    def forget(self) -> None:
        """Leave out what was logged so far."""
        while not self._events.empty():
            self._events.get()

    def says(self, text: str, **fields: Any) -> dict[str, Any]:
        """Send a message and return what became of it."""
        order = {"channel": "desk", "content": text, "wait_seconds": PATIENCE_SECONDS, **fields}
        answer: dict[str, Any] = self.control.post("send", body=order, wait_seconds=PATIENCE_SECONDS)
        return answer

    def status(self) -> Any:
        return self.control.get("status")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.status()["addresses"][0].rpartition(":")[2])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self._events.put(json.loads(line))
            except ValueError:
                self._events.put({"event": "", "text": line.decode(errors="replace")})


def write_configuration(folder: Path, rules: str = "") -> Path:
    """Write a configuration into `folder`/conf and return that folder."""
    conf = folder / "conf"
    for name in ("rules.d", "pipelines.d", "hooks"):
        (conf / name).mkdir(parents=True)
    (conf / "oclaw.toml").write_text(SETTINGS.format(state=folder / "state"))
    (conf / "pipelines.d" / "chat.yaml").write_text("pipeline: [{name: say, model: echo}]\n")
    (conf / "pipelines.d" / "free.yaml").write_text("pipeline: [{name: say}]\n")
    if rules:
        (conf / "rules.d" / "main.rules").write_text(rules)
    return conf


@contextmanager
def a_daemon(rules: str = "") -> Iterator[Daemon]:
    """Run a gateway with these rules; it is killed at the end."""
    # A short name: a Unix socket's path may have 107 bytes.
    with tempfile.TemporaryDirectory() as name, running(write_configuration(Path(name), rules)) as daemon:
        yield daemon


@contextmanager
def running(conf: Path) -> Iterator[Daemon]:
    """Run the gateway of a configuration folder."""
    ours = {name: value for name, value in os.environ.items() if name not in ("STATE_DIRECTORY", "OCLAW_CONFIG")}
    os.environ["RUNTIME_DIRECTORY"] = runtime = str(conf.parent / "run")
    command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(conf)]
    process = subprocess.Popen(command, env={**ours, "RUNTIME_DIRECTORY": runtime}, stderr=subprocess.PIPE)
    daemon = Daemon(conf, process)
    try:
        daemon.until("GatewayReady")
        yield daemon
    finally:
        process.kill()
        process.wait()
        daemon.reader.join(PATIENCE_SECONDS)
        if process.stderr is not None:
            process.stderr.close()
        del os.environ["RUNTIME_DIRECTORY"]
