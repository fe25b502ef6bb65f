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
from tests.real.missing import Missing, last_words

_INSTALL_SECONDS = 60.0

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


def program() -> str:
    """Return where ngIRCd is; installs it from the distribution where that is allowed. Raises `Missing`."""
    found = _find()
    if isinstance(found, Missing):
        raise found
    return found


@cache
def _find() -> str | Missing:
    found = shutil.which("ngircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return Missing(
            "ngIRCd is not installed, and this user may not. On Debian and Ubuntu: sudo apt-get install ngircd"
        )
    said = ""
    # On a machine whose lists of packages were never fetched the first try finds nothing.
    for command in (["install", "-y", "-qq", "ngircd"], ["update", "-qq"], ["install", "-y", "-qq", "ngircd"]):
        said = _apt(command)
        found = shutil.which("ngircd", path="/usr/sbin")
        if found is not None:
            return found
    return Missing(f"ngIRCd cannot be installed from the distribution: {said}")


def _apt(command: list[str]) -> str:
    """Return what it said last."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            ["apt-get", *command], check=False, capture_output=True, text=True, env=quiet, timeout=_INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"apt-get {command[0]} took more than {_INSTALL_SECONDS:.0f} s"
    return last_words(done.stderr)


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
