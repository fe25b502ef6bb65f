"""Stop the real daemon while it has something in hand: what was taken is finished, and who waits is answered."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from gateway.journal import FILE_NAME, open_journal
from gateway.message.lifecycle import InboundState
from tests.support.rules_daemon import PATIENCE_SECONDS, Daemon, running, write_configuration

HOOK = """
import time

def slow(message):
    print("asked", flush=True)
    time.sleep(0.3)
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
    id = daemon.says("hi", wait_seconds=0)["id"]
    daemon.until("", text="asked\n")
    processes = everybody(daemon.process.pid)
    assert len(processes) == 2
    for pid in processes:
        os.kill(pid, signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_SECONDS) == 0
    assert trio.run(state_of, daemon.folder.parent / "state" / FILE_NAME, id) is InboundState.DONE
