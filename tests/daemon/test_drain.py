"""Stop the real daemon while it has something in hand: what was taken is finished, and who waits is answered."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from gateway.journal import FILE_NAME, open_journal
from gateway.message.lifecycle import InboundState
from tests.support.raw import Answer, Raw
from tests.support.rules_daemon import PATIENCE_SECONDS, Daemon, running, write_configuration

HOOK = """
import time

def slow(message):
    print("asked", flush=True)
    time.sleep(0.3 if message.content == "soon" else 3600)
"""
HOOKS = '[[hooks.inbound]]\nuse = "mine:slow"\nmode = "isolated"\ndeadline_ms = 60000\n'


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as name:
        conf = write_configuration(Path(name))
        (conf / "hooks" / "mine.py").write_text(HOOK)
        with (conf / "oclaw.toml").open("a") as file:
            file.write(HOOKS)
        with running(conf) as served:
            yield served


def everybody(pid: int) -> list[int]:
    """Name a process and its children, as a service manager or a terminal signals them."""
    children = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [pid, *(int(child) for found in children for child in found.split())]


async def state_of(journal: Path, id: str) -> InboundState | None:
    async with open_journal(journal) as opened:
        row = await opened.message(id)
        return row.state if row is not None else None


def test_what_was_accepted_passes_an_isolated_hook_although_every_process_is_told_to_stop(daemon: Daemon) -> None:
    id = daemon.says("soon", wait_seconds=0)["id"]
    daemon.until("", text="asked\n")
    processes = everybody(daemon.process.pid)
    assert len(processes) == 2
    for pid in processes:
        os.kill(pid, signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_SECONDS) == 0
    assert trio.run(state_of, daemon.folder.parent / "state" / FILE_NAME, id) is InboundState.DONE


def stopped_while_it_waits(daemon: Daemon, content: str) -> Answer:
    """Ask for the reply at once, stop the daemon while the hook looks at the message, and return what is answered."""
    body = json.dumps({"text": content})
    lines = ["POST /channels/desk HTTP/1.1", "Host: localhost", "Prefer: wait=50", f"Content-Length: {len(body)}"]
    with Raw(daemon.port) as connection:
        connection.write("\r\n".join([*lines, "Content-Type: application/json", "", body]).encode())
        daemon.until("", text="asked\n")
        daemon.process.terminate()
        answer = connection.answer()
    assert daemon.process.wait(PATIENCE_SECONDS) == 0
    return answer


def test_who_waits_for_a_reply_gets_it_although_it_is_the_last_thing_in_hand(daemon: Daemon) -> None:
    answer = stopped_while_it_waits(daemon, "soon")
    assert (answer.status, [reply["data"]["text"] for reply in answer.json["replies"]]) == (200, ["soon"])


def test_who_waits_in_vain_hears_that_the_message_is_kept_and_where_to_ask(daemon: Daemon) -> None:
    path = daemon.folder / "oclaw.toml"
    path.write_text(path.read_text().replace("[gateway]\n", "[gateway]\ndrain_seconds = 0.3\n"))
    assert daemon.control.post("reload")["changes"] == ["[gateway] drain_seconds changed"]
    answer = stopped_while_it_waits(daemon, "late")
    assert (answer.status, answer.fields["location"]) == (202, f"/channels/desk/messages/{answer.json['id']}")
