"""The real daemon in a process of its own on an ephemeral port, and official grpcio clients of it.

The daemon runs with a trap: making an asyncio loop in it, in a call, a worker's shift or anywhere else, ends it at
once, and so fails the test that made it do so.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc

from gateway.api.v1 import gateway_pb2 as pb
from gateway.api.v1 import message_pb2 as form
from tests.daemon.test_no_asyncio import TRAP, TRAPPED

HOUSE = Path(__file__).parents[2]
# What a busy machine may take for anything at all; what is waited for comes in a fraction of a second otherwise.
PATIENCE_SECONDS = 60
TOKEN = "shop-token-0123456789"
GUARDED = f"""{TRAP}
from gateway.cli import main
sys.argv = ["oclaw", "run", "--config", sys.argv[1]]
main()
"""
CONFIGURATION = """
[gateway]
state_dir = "{state}"
default_pipeline = "echo"
drain_seconds = {drain}
log_format = "json"
{gateway}
[listen]
addresses = ["127.0.0.1:0"]
{listen}
[models.echo]
provider = "echo"
tasks = ["text-generation"]
[channels.shop]
type = "grpc"
tokens = {{ till = "env:SHOP_TOKEN" }}
{more}
"""
PIPELINES = {"echo": "pipeline: [{name: say, model: echo}]"}


class Daemon:
    """One running gateway. `more`, `gateway` and `listen` are added to its configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder / "conf", folder / "state"
        self.port = 0
        self.lines: list[dict[str, Any]] = []
        self._ready = threading.Event()

    def write(
        self,
        *,
        more: str = "",
        gateway: str = "",
        listen: str = "",
        drain: float = 30.0,
        pipelines: dict[str, str] = PIPELINES,
        files: dict[str, str] | None = None,
    ) -> None:
        for name in ("rules.d", "pipelines.d", "hooks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = CONFIGURATION.format(state=self.state, more=more, gateway=gateway, listen=listen, drain=drain)
        (self.folder / "oclaw.toml").write_text(text)
        for name, content in pipelines.items():
            (self.folder / "pipelines.d" / f"{name}.yaml").write_text(content)
        for name, content in (files or {}).items():
            (self.folder / name).write_text(content)

    def start(self) -> None:
        environment = {
            **os.environ,
            "SHOP_TOKEN": TOKEN,
            "ASK_TOKEN": "ask-token-0123456789",
            "WORK_TOKEN": "work-token-0123456789",
            "XDG_RUNTIME_DIR": str(self.folder.parent / "run"),
            "PYTHONPATH": str(HOUSE),
        }
        self._ready.clear()
        command = [sys.executable, "-c", GUARDED, str(self.folder)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        assert self._ready.wait(PATIENCE_SECONDS) and self.port, self.lines

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                told = json.loads(line)
            except ValueError:
                told = {"text": line.rstrip()}
            self.lines.append(told)
            if "addresses" in told:
                self.port = int(str(told["addresses"]).split(",")[0].rpartition(":")[2].rstrip("/"))
                self._ready.set()
        self._ready.set()

    def until(self, counter: str, number: int) -> None:
        """Return when a counter of /metrics, all its labels together, has reached a number."""
        while self._sum(counter) < number:
            assert self.process.poll() is None

    def _sum(self, counter: str) -> float:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)) as plain:
            plain.request("GET", "/metrics")
            text = plain.getresponse().read().decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{counter}{{"))

    def ask_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def kill(self) -> None:
        assert self.process.poll() != TRAPPED, self.lines[-5:]
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self._reader.join(PATIENCE_SECONDS)
            self.process.stderr.close()

    @contextmanager
    def dial(self, **options: int) -> Iterator[grpc.Channel]:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options=list(options.items())) as channel:
            yield channel


def bearer(token: str = TOKEN) -> tuple[tuple[str, str], ...]:
    return () if not token else (("authorization", f"Bearer {token}"),)


def unary(channel: grpc.Channel, method: str, request: type[Any], response: type[Any]) -> Any:
    return channel.unary_unary(method, request.SerializeToString, response.FromString)


class Till:
    """Speaks for the channel, with the official library."""

    def __init__(self, channel: grpc.Channel, token: str = TOKEN) -> None:
        self.credentials = bearer(token)
        service = "/oclaw.v1.Gateway/"
        self._send = unary(channel, service + "Send", pb.SendRequest, pb.SendResponse)
        self._converse = channel.stream_stream(
            service + "Converse", pb.ConverseRequest.SerializeToString, pb.ConverseResponse.FromString
        )
        self._subscribe = channel.unary_stream(
            service + "Subscribe", pb.SubscribeRequest.SerializeToString, pb.Event.FromString
        )

    def send(
        self, text: str, *, wait: int = 0, timeout: float = 2 * PATIENCE_SECONDS, **fields: Any
    ) -> pb.SendResponse:
        request = pb.SendRequest(message=said(text, **fields))
        if wait:
            request.wait.seconds = wait
        response: pb.SendResponse = self._send(request, metadata=self.credentials, timeout=timeout)
        return response

    def send_soon(self, text: str, *, wait: int, **fields: Any) -> Any:
        """Send without waiting; the future's result is the response."""
        request = pb.SendRequest(message=said(text, **fields), wait={"seconds": wait})
        return self._send.future(request, metadata=self.credentials, timeout=2 * PATIENCE_SECONDS)

    def send_request(self, request: pb.SendRequest, **options: Any) -> pb.SendResponse:
        response: pb.SendResponse = self._send(request, metadata=self.credentials, timeout=PATIENCE_SECONDS, **options)
        return response

    def converse(self, requests: Iterator[pb.ConverseRequest], timeout: float = 2 * PATIENCE_SECONDS) -> Any:
        return self._converse(requests, metadata=self.credentials, timeout=timeout)

    def subscribe(self, timeout: float = 2 * PATIENCE_SECONDS, **fields: Any) -> Any:
        return self._subscribe(pb.SubscribeRequest(**fields), metadata=self.credentials, timeout=timeout)


def said(text: str, *, conversation: str = "c1", **fields: Any) -> form.Message:
    return form.Message(content=text, conversation=form.Conversation(id=conversation), **fields)
