"""A scratch gateway: a folder with a configuration, a state directory and secrets of its own, and a sink."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.testing.proof.account import Account
from gateway.testing.proof.sink import Sink, open_sink

CHANNEL = "proof"

_SETTINGS = """
[gateway]
default_pipeline = "echo"
state_dir = "{state}"
log_format = "json"
drain_seconds = 3
{gateway}
[listen]
addresses = ["127.0.0.1:0"]
max_connections_per_address = 4096

[delivery]
first_backoff_seconds = 0.1
max_backoff_seconds = 1
attempts = 1000
attempt_seconds = 2
{more}
[models.echo]
provider = "echo"

[channels.{channel}]
type = "webhook"
auth = "signature"
secrets = ["file:{folder}/in"]
deliver_url = "http://127.0.0.1:{port}/sink"
deliver_secret = "file:{folder}/out"
reply_body = {{ id = "$id", text = "$text" }}
"""


class Scene:
    """What a daemon is started on, and where its answers are booked."""

    def __init__(self, folder: Path, account: Account, sink: Sink) -> None:
        self.folder, self.account, self.sink = folder / "config", account, sink
        self.state, self.runtime = folder / "state", folder / "run"
        self.secret = os.urandom(32)
        # Runs oclaw; a test may put one in its place that runs it on a machine in trouble.
        self.program: tuple[str, ...] = (sys.executable, "-m", "gateway.cli")

    def write(self, *, gateway: str = "", more: str = "", state: Path | None = None) -> None:
        """Write the configuration; `gateway` are further lines of [gateway], `more` further sections."""
        self.state = state or self.state
        for name in ("rules.d", "pipelines.d", "hooks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, secret in (("in", self.secret), ("out", os.urandom(32))):
            path = self.folder / name
            path.write_text("whsec_" + b64encode(secret).decode())
            path.chmod(0o600)
        (self.folder / "pipelines.d" / "echo.yaml").write_text("pipeline:\n  - name: say\n    model: echo\n")
        text = _SETTINGS.format(
            state=self.state, folder=self.folder, port=self.sink.port, channel=CHANNEL, gateway=gateway, more=more
        )
        (self.folder / "oclaw.toml").write_text(text)

    def command(self) -> list[str]:
        """Return what starts the daemon."""
        return [*self.program, "run", "--config", str(self.folder)]

    def environment(self) -> dict[str, str]:
        """Return the daemon's environment: ours, with this folder for its control socket."""
        ours = {name: value for name, value in os.environ.items() if name not in ("STATE_DIRECTORY", "OCLAW_CONFIG")}
        return {**ours, "RUNTIME_DIRECTORY": str(self.runtime)}


@asynccontextmanager
async def open_scene(folder: Path, *, gateway: str = "", more: str = "") -> AsyncIterator[Scene]:
    """Open a sink and write a configuration that delivers to it."""
    account = Account()
    async with open_sink(account) as sink:
        scene = Scene(folder, account, sink)
        scene.write(gateway=gateway, more=more)
        yield scene
