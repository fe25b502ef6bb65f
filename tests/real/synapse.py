"""A real Synapse on loopback: installed from the package registry on first use, started, killed, started again.

It lives in a virtual environment of its own below build/real (or OCLAW_REAL names another folder), as its
dependencies are not ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import trio

from protocols.errors import HttpClientError
from protocols.http_client.client import HttpClient
from tests.real.missing import Missing, last_words

SERVER = "localhost.test"
VERSION = "1.163.2"
_INSTALL_SECONDS = 120.0
_FOLDER = Path(os.environ.get("OCLAW_REAL", Path(__file__).parents[2] / "build" / "real"))

_CONFIGURATION = """\
server_name: {server}
pid_file: {folder}/homeserver.pid
listeners:
  - {{port: {port}, type: http, bind_addresses: ["127.0.0.1"], resources: [{{names: [client], compress: false}}]}}
database: {{name: sqlite3, args: {{database: {folder}/homeserver.db}}}}
log_config: {folder}/log.yaml
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
macaroon_secret_key: for-tests-alone
report_stats: false
trusted_key_servers: []
enable_registration: true
enable_registration_without_verification: true
suppress_key_server_warning: true
app_service_config_files: [{folder}/oclaw.yaml]
rc_message: {{per_second: 10000, burst_count: 10000}}
rc_registration: {{per_second: 10000, burst_count: 10000}}
rc_login: {{address: {{per_second: 10000, burst_count: 10000}}, account: {{per_second: 10000, burst_count: 10000}}}}
rc_joins: {{local: {{per_second: 10000, burst_count: 10000}}}}
rc_invites: {{per_room: {{per_second: 10000, burst_count: 10000}}, per_user: {{per_second: 10000, burst_count: 10000}},
  per_issuer: {{per_second: 10000, burst_count: 10000}}}}
"""
_LOG = """\
version: 1
formatters: {plain: {format: "%(asctime)s %(name)s %(levelname)s %(message)s"}}
handlers: {file: {class: logging.FileHandler, formatter: plain, filename: HERE/synapse.log}}
root: {level: INFO, handlers: [file]}
"""


def installed() -> Path:
    """Return the Python that has Synapse; installs it when it is not there yet (a minute). Raises `Missing`."""
    found = _find()
    if isinstance(found, Missing):
        raise found
    return found


@cache
def _find() -> Path | Missing:
    folder = _FOLDER / "synapse"
    python = folder / "bin" / "python"
    if (folder / ".installed").exists():
        return python
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", f"matrix-synapse=={VERSION}"]
    try:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run(pip, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.CalledProcessError as failed:
        return Missing(f"Synapse {VERSION} cannot be installed from the package registry: {last_words(failed.stderr)}")
    except subprocess.TimeoutExpired:
        return Missing(f"Synapse {VERSION} was not installed within {_INSTALL_SECONDS:.0f} s.")
    except OSError as error:
        return Missing(f"Synapse {VERSION} cannot be installed in {folder}: {error}")
    (folder / ".installed").touch()
    return python


class Synapse:
    """One homeserver in a folder. `stop`, `kill` and `start` keep port and data."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, registration: str) -> None:
        """Write the configuration; `registration` is the application service's file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = {"server": SERVER, "port": self.port, "folder": self.folder}
        (self.folder / "homeserver.yaml").write_text(_CONFIGURATION.format(**values))
        (self.folder / "log.yaml").write_text(_LOG.replace("HERE", str(self.folder)))
        (self.folder / "oclaw.yaml").write_text(registration)
        main = [str(installed()), "-m", "synapse.app.homeserver", "-c", str(self.folder / "homeserver.yaml")]
        subprocess.run([*main, "--generate-keys"], check=True, cwd=self.folder)

    async def start(self) -> None:
        """Return when it answers."""
        command = [str(installed()), "-m", "synapse.app.homeserver", "-c", str(self.folder / "homeserver.yaml")]
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output)
        async with HttpClient() as http:
            with trio.fail_after(120):
                while True:
                    if self._process.poll() is not None:
                        raise RuntimeError((self.folder / "output.log").read_text()[-2000:])
                    try:
                        answer = await http.request("GET", f"{self.url}/_matrix/client/versions")
                        if answer.status == 200:
                            return
                    except HttpClientError:
                        pass
                    await trio.sleep(0.1)

    async def kill(self) -> None:
        """End it without warning."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            with trio.move_on_after(20, shield=True):
                await trio.to_thread.run_sync(process.wait)


@asynccontextmanager
async def open_synapse(folder: Path, port: int, registration: str) -> AsyncIterator[Synapse]:
    """Run a homeserver while the block runs."""
    synapse = Synapse(folder, port)
    await trio.to_thread.run_sync(synapse.configure, registration)
    await synapse.start()
    try:
        yield synapse
    finally:
        with trio.CancelScope(shield=True):
            await synapse.kill()
