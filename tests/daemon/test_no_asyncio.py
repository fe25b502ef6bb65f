"""Trio alone runs the daemon: no asyncio loop is ever made in it, whatever passes through.

Importing asyncio is harmless, as grpclib and structlog do; a loop would be a second scheduler in the same thread.
The tests in tests/rpc run every gRPC call and pipeline workers over the same trap.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.support.daemon import Daemon, daemon, environment, scratch_folder
from tests.support.raw import Raw

# Every asyncio loop, whoever makes it and however, is a BaseEventLoop or uvloop's; both begin in a policy or a class.
TRAPPED = 99
TRAP = f"""
import asyncio, asyncio.base_events, asyncio.events, os, sys

def caught(*arguments, **named):
    sys.stderr.write("an asyncio loop was made\\n")
    sys.stderr.flush()
    os._exit({TRAPPED})

asyncio.base_events.BaseEventLoop.__init__ = caught
asyncio.events.BaseDefaultEventLoopPolicy.new_event_loop = caught
asyncio.events.new_event_loop = asyncio.new_event_loop = caught
"""
FILES = {
    "oclaw.toml": """
[gateway]
default_pipeline = "chat"
log_format = "json"

[listen]
addresses = ["127.0.0.1:0"]

[models.faq]
provider = "faq"
file = "faq.md"

[channels.open]
type = "webhook"
auth = "none"

[channels.webchat]
type = "webchat"

[hooks]
inbound = ["mine:look"]
""",
    "faq.md": "# Hello\n\nGood day.\n",
    "hooks/mine.py": "import trio\n\n\nasync def look(message):\n    await trio.sleep(0)\n",
    "pipelines.d/chat.yaml": "pipeline:\n  - name: answer\n    model: faq\n    prompt: '{{ user_message }}'\n",
}


@pytest.fixture(scope="module")
def trap() -> Iterator[dict[str, str]]:
    with scratch_folder({"sitecustomize.py": TRAP}) as folder:
        yield {"PYTHONPATH": str(folder / "config")}


@pytest.fixture
def gateway(trap: dict[str, str]) -> Iterator[Daemon]:
    with scratch_folder(FILES) as folder, daemon(folder, trap) as running:
        yield running
        assert running.stop() == 0, running.log[-5:]


def posted(gateway: Daemon) -> None:
    body = json.dumps({"id": "1", "text": "hello"}).encode()
    fields = {"Content-Type": "application/json", "Prefer": "wait=60"}
    request = urllib.request.Request(f"{gateway.url}/channels/open", body, fields)
    with urllib.request.urlopen(request) as answer:
        assert b"Good day." in answer.read()


def chatted(gateway: Daemon) -> None:
    with Raw(gateway.port) as raw:
        assert raw.upgrade("/channels/webchat").status == 101
        raw.say(type="hello", data={"conversation": "c"})
        raw.say(type="message", id="1", data={"text": "hello"})
        while b"Good day." not in (heard := raw.hear()[1]):
            assert heard


def answered(gateway: Daemon, path: str) -> int:
    with Raw(gateway.port) as raw:
        raw.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return raw.answer().status


def called(gateway: Daemon) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            check(b"", timeout=60)
        except grpc.RpcError as error:
            assert error.code() != grpc.StatusCode.DEADLINE_EXCEEDED


def edited(gateway: Daemon) -> None:
    rules = gateway.folder / "config" / "rules.d"
    rules.mkdir()
    (rules / "main.rules").write_text('WHEN message.content == "never" THEN drop("x")\n')
    while json.loads(gateway.oclaw("status", "--json").stdout)["rules"]["rules"] != 1:
        assert gateway.process.poll() is None, gateway.log[-5:]


def test_the_trap_catches_a_loop(trap: dict[str, str], tmp_path: Path) -> None:
    for code in ("asyncio.run(asyncio.sleep(0))", "asyncio.SelectorEventLoop()", "asyncio.new_event_loop()"):
        caught = subprocess.run([sys.executable, "-c", f"import asyncio; {code}"], env=environment(tmp_path, trap))
        assert caught.returncode == TRAPPED, code


def test_no_asyncio_loop_is_made_whatever_passes_through(gateway: Daemon) -> None:
    posted(gateway)
    chatted(gateway)
    called(gateway)
    edited(gateway)
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        assert answered(gateway, path) in ((200, 503) if path == "/readyz" else (200,)), "a machine may stand still"
    for command in (["status"], ["send", "hello", "--channel", "open"], ["dead", "list"], ["held", "list"], ["reload"]):
        done = gateway.oclaw(*command)
        assert done.returncode == 0, done.stderr
    assert gateway.process.poll() is None, gateway.log[-5:]
