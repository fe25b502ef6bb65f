"""A real ngIRCd on loopback, with a configuration of its own; it can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import trio

from tests.real.daemon import free_port
from tests.real.missing import Missing

CONFIGURATION = """\
[Global]
Name = irc.test.example
Info = A server for tests
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = "hello"
ServerUID = {user}
ServerGID = {user}
PidFile = {folder}/ngircd.pid
[Limits]
MaxConnectionsIP = 50
PingTimeout = 20
PongTimeout = 10
MaxNickLength = 16
[Options]
DNS = no
Ident = no
PAM = no
OperCanUseMode = yes
"""

SSL = """\
[SSL]
CertFile = {certificate}
KeyFile = {key}
Ports = {port}
"""


@cache
def program() -> str:
    """Return where ngIRCd is; installs it from the distribution where that is allowed. Raises `Missing`."""
    found = shutil.which("ngircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(
            "ngIRCd is not installed, and this user may not. On Debian and Ubuntu: sudo apt-get install ngircd"
        )
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # On a machine whose lists of packages were never fetched the first try finds nothing.
    for command in (["install", "-y", "-qq", "ngircd"], ["update", "-qq"], ["install", "-y", "-qq", "ngircd"]):
        done = subprocess.run(
            ["apt-get", *command], check=False, capture_output=True, text=True, env=quiet, timeout=240
        )
        found = shutil.which("ngircd", path="/usr/sbin")
        if found is not None:
            return found
    said = (done.stderr.strip().splitlines() or ["apt-get gave no reason"])[-1]
    raise Missing(f"ngIRCd cannot be installed from the distribution: {said}")


class Ngircd:
    """One server."""

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None) -> None:
        """`tls` are certificate and key; then `port` speaks TLS, and people use `plain_port`."""
        self.folder, self.plain_port = folder, free_port()
        self.port = free_port() if tls else self.plain_port
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        user = "irc" if os.geteuid() == 0 else str(os.geteuid())
        (folder / "ngircd.conf").write_text(
            CONFIGURATION.format(port=self.plain_port, user=user, folder=folder)
            + (SSL.format(certificate=tls[0], key=tls[1], port=self.port) if tls else "")
        )

    async def start(self) -> None:
        """Return when it takes connections."""
        command = [program(), "-n", "-f", str(self.folder / "ngircd.conf")]
        with (self.folder / "ngircd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        with trio.fail_after(60):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", self.plain_port)
                except OSError:
                    assert self._process.poll() is None, (self.folder / "ngircd.log").read_text()
                    await trio.sleep(0.05)
                else:
                    await stream.aclose()
                    return

    async def kill(self) -> None:
        """End it without warning; every connection breaks."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await trio.to_thread.run_sync(process.wait)


@asynccontextmanager
async def open_ngircd(folder: Path, tls: tuple[Path, Path] | None = None) -> AsyncIterator[Ngircd]:
    """Run a server while the block runs."""
    server = Ngircd(folder, tls)
    await server.start()
    try:
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await server.kill()
