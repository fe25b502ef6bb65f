"""A scratch gateway on conf/examples/bench: an ordinary process with folders of its own, stopped at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.frame import NotDone
from gateway.cli.scaffold import CONF, HOME

EXAMPLE = CONF / "examples" / "bench"
# The channel of the example, and the addresses that stand in its oclaw.toml.
PATH, LISTEN, SINK = "/channels/bench", "127.0.0.1:8420", "http://127.0.0.1:9901/"
STOP_SECONDS = 30.0


class Scratch:
    """A running daemon and what the kernel says of it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, began: float) -> None:
        self.process, self.port, self.began = process, port, began

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process so far, all threads together."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Return the memory it holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def prepared(disk: Path | None, sink_port: int, example: Path = EXAMPLE) -> Iterator[tuple[Path, int]]:
    """Copy the example, with a free port and the sink's; `disk` is where the journal is written."""
    with tempfile.TemporaryDirectory(prefix="oclaw-bench-", dir=disk) as folder:
        config, port = Path(folder) / "config", _free_port()
        shutil.copytree(example, config, ignore=shutil.ignore_patterns("__pycache__"))
        file = config / "oclaw.toml"
        text = file.read_text("utf-8")
        if LISTEN not in text or SINK not in text:
            raise NotDone(f"{example}/oclaw.toml does not name {LISTEN} and {SINK}, so nothing can be measured with it")
        text = text.replace(LISTEN, f"127.0.0.1:{port}").replace(SINK, f"http://127.0.0.1:{sink_port}/")
        file.write_text(text, "utf-8")
        yield config, port


@contextmanager
def started(config: Path, port: int, cpu: int | None = None) -> Iterator[Scratch]:
    """Run the daemon on a prepared folder, on one core if `cpu` names it; SIGTERM at the end."""
    with tempfile.TemporaryDirectory(prefix="oclaw-") as runtime, (config.parent / "log").open("ab") as log:
        # A Unix socket's path may have 107 bytes: the control socket stays in the short default folder.
        environment = {
            **os.environ,
            "STATE_DIRECTORY": str(config.parent / "state"),
            "RUNTIME_DIRECTORY": runtime,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(HOME), os.environ.get("PYTHONPATH", "")))),
        }
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "run", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stderr=log,
            env=environment,
        )
        if cpu is not None:
            os.sched_setaffinity(process.pid, {cpu})
        try:
            yield Scratch(process, port, began)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_words(config: Path) -> str:
    """Return the end of the log, for when the daemon did not serve."""
    return (config.parent / "log").read_text("utf-8", errors="replace")[-2000:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
