"""A homeserver, a gateway and people, all real, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.channels.matrix_registration import registration
from protocols.http_client.client import HttpClient
from tests.real.daemon import Daemon, free_port, running
from tests.real.matrix_user import User
from tests.real.synapse import SERVER, Synapse, open_synapse

BOT = f"@oclaw:{SERVER}"
TOKENS = {"hs_token": "hs-" + "a" * 40, "as_token": "as-" + "b" * 40}
CONFIGURATION = """\
[gateway]
default_pipeline = "chat"
log_level = "debug"
[listen]
addresses = ["127.0.0.1:{port}"]
[delivery]
max_backoff_seconds = 5.0
[models.echo]
provider = "echo"
template = "you said: {{text}}"
{models}
[channels.matrix]
type = "matrix"
enabled = true
homeserver_url = "{homeserver}"
server_name = "{server}"
hs_token = "env:HS_TOKEN"
as_token = "env:AS_TOKEN"
display_name = "Oclaw"
{more}
"""


class Town:
    """A homeserver, a gateway and people."""

    def __init__(self, synapse: Synapse, gateway: Daemon, http: HttpClient) -> None:
        self.synapse, self.gateway, self._http = synapse, gateway, http

    async def person(self, name: str) -> User:
        user = User(self.synapse.url, self._http)
        await user.register(name)
        return user


@asynccontextmanager
async def town(
    folder: Path, *, more: str = "", models: str = "", model: str = "echo", ghosts: tuple[str, ...] = (), hook: str = ""
) -> AsyncIterator[Town]:
    ports = free_port(), free_port()
    url = f"http://127.0.0.1:{ports[1]}"
    introduced = registration(id="oclaw", url=url, bot_localpart="oclaw", server_name=SERVER, ghosts=ghosts, **TOKENS)
    async with open_synapse(folder / "synapse", ports[0], introduced) as synapse, HttpClient() as http:
        text = CONFIGURATION.format(port=ports[1], homeserver=synapse.url, server=SERVER, more=more, models=models)
        environment = {"HS_TOKEN": TOKENS["hs_token"], "AS_TOKEN": TOKENS["as_token"]}
        gateway = Daemon(folder / "gateway", ports[1], text, environment | {"STATE_DIRECTORY": str(folder / "state")})
        gateway.write(
            "pipelines.d/chat.yaml", f'pipeline: [{{name: a, model: {model}, input_mapping: ["user_message"]}}]\n'
        )
        (gateway.folder / "rules.d").mkdir()
        _install(gateway.plugins, SLOW)
        if hook:
            gateway.write("hooks/my_hooks.py", hook)
        async with running(gateway):
            yield Town(synapse, gateway, http)


def text_is(text: str) -> Any:
    return lambda event: event["content"].get("body") == text


SLOW = """
import trio
from msgspec import Struct
from gateway.models.echo import Echo, Settings as EchoSettings
from gateway.ports import ModelAnswer


class Settings(Struct, frozen=True, kw_only=True):
    seconds: float = 0.4


class Slow:
    def __init__(self, seconds):
        self.seconds, self.echo = seconds, Echo(EchoSettings())

    async def answer(self, call):
        await trio.sleep(self.seconds * 3)
        return self.echo.answer(call)

    async def stream(self, call):
        async for piece in self.echo.stream(call):
            await trio.sleep(self.seconds)
            yield piece


def build(name, settings, kit):
    return Slow(settings.seconds)
"""


def _install(folder: Path, code: str) -> None:
    """Make a provider "slow" known to the gateway, as an installed package would."""
    (folder / "slow_model-1.0.dist-info").mkdir(parents=True)
    (folder / "slow_model.py").write_text(code)
    (folder / "slow_model-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: slow-model\nVersion: 1.0\n"
    )
    (folder / "slow_model-1.0.dist-info" / "entry_points.txt").write_text("[oclaw.providers]\nslow = slow_model\n")
