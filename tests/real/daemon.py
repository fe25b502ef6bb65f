"""The gateway as operators run it: a process of its own that can be killed and started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from protocols.errors import HttpClientError
from protocols.http_client.client import HttpClient

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that is free now; servers that cannot be told to take any need its number before they start.

    Below those that systems give to outgoing connections: a server that is started again must find it free still.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Daemon:
    """One gateway with its folder. `configuration` is the text of oclaw.toml, with the port already in it; what lies in
    `plugins` can be imported."""

    def __init__(self, folder: Path, port: int, configuration: str, environment: Mapping[str, str]) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self.plugins = folder.parent / "plugins"
        path = os.pathsep.join((str(ROOT), str(self.plugins)))
        ours = {"PYTHONPATH": path, "XDG_RUNTIME_DIR": str(folder / "r"), "XDG_STATE_HOME": str(folder / "s")}
        self._environment = {**os.environ, **environment, **ours}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "r").mkdir(exist_ok=True)
        (folder / "oclaw.toml").write_text(configuration)

    def write(self, name: str, text: str) -> None:
        """Put a file beside oclaw.toml."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    async def start(self) -> None:
        """Return when it is ready."""
        command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(self.folder)]
        with (self.folder / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        async with HttpClient() as http:
            with trio.fail_after(90):
                while True:
                    if self._process.poll() is not None:
                        raise RuntimeError((self.folder / "gateway.log").read_text()[-3000:])
                    try:
                        if (await http.request("GET", f"{self.url}/readyz")).status == 200:
                            return
                    except HttpClientError:
                        pass
                    await trio.sleep(0.05)

    def command(self, *arguments: str) -> str:
        """Run `oclaw` against this gateway and return what it prints."""
        command = [sys.executable, "-m", "gateway.cli", *arguments, "--config", str(self.folder)]
        done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def cpu_seconds(self) -> float:
        """Return the processor time that the gateway has taken so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def kill(self) -> None:
        """End it without warning."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Drain."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            with trio.move_on_after(30, shield=True):
                await trio.to_thread.run_sync(process.wait)


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[Daemon]:
    """Run a gateway while the block runs."""
    await daemon.start()
    try:
        yield daemon
    finally:
        with trio.CancelScope(shield=True):
            await daemon.kill()
