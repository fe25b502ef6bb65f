"""A start that cannot go on: the disk refuses, or somebody asks to stop, while what is left unfinished is taken up."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from gateway.daemon.signals import Stop
from gateway.daemon.starting import taken_up
from gateway.errors import JournalFull
from gateway.journal import FILE_NAME, Memory, open_memory_journal
from gateway.records import Accept
from gateway.testing.journal_words import a_message, committed
from tests.support.daemon import STOP_SECONDS, Daemon, daemon, environment, scratch_folder

FILES = {"oclaw.toml": '[gateway]\nlog_format = "json"\n\n[listen]\naddresses = ["127.0.0.1:0"]\n'}


async def recovered(journal) -> None:
    async for _page in journal.recover():
        pass


async def test_a_journal_that_takes_writes_is_taken_up(autojump_clock) -> None:
    async with open_memory_journal(Memory()) as journal:
        await committed(journal, Accept((a_message("a"),)))
        assert await taken_up(lambda: recovered(journal), journal, Stop())


async def test_a_disk_that_refuses_the_first_commit_ends_the_start(autojump_clock) -> None:
    memory = Memory()
    async with open_memory_journal(memory) as journal:
        await committed(journal, Accept((a_message("a"),)))
        memory.fail_commits()
        with pytest.raises(ExceptionGroup) as raised:
            await taken_up(lambda: recovered(journal), journal, Stop())
        assert raised.group_contains(JournalFull, match="database or disk is full")
        memory.fail_commits(0)


async def test_a_stop_is_obeyed_before_anything_is_served(autojump_clock) -> None:
    stop = Stop()
    async with open_memory_journal(Memory()) as journal:
        stop.ask("SIGTERM")
        assert not await taken_up(trio.sleep_forever, journal, stop)


def test_a_stop_ends_a_start_that_is_held_up_and_leaves_the_crash_before_it_to_the_next_one() -> None:
    with scratch_folder(FILES) as folder:
        with daemon(folder) as running:
            running.kill()
        mark, journal = folder / "state" / "running", folder / "state" / FILE_NAME
        with closing(sqlite3.connect(journal, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # as a disk that hangs does, this keeps the first commit waiting
            command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(folder / "config")]
            process = subprocess.Popen(command, env=environment(folder), stderr=subprocess.PIPE)
            starting = Daemon(folder, process)
            try:
                while not obeys(process, signal.SIGTERM):
                    assert process.poll() is None
                process.terminate()
                starting.until_told("GatewayDraining")
                other.execute("ROLLBACK")
                starting.until_told("GatewayStopped")
                assert process.wait(STOP_SECONDS) == 0
            finally:
                starting.kill()
        assert mark.exists() and not starting.told("GatewayReady")


def obeys(process: subprocess.Popen[bytes], number: int) -> bool:
    """Say whether a process has a handler for a signal by now (proc(5), SigCgt)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)
