"""A start that cannot go on: the disk refuses, or somebody asks to stop, while what is left unfinished is taken up."""

from __future__ import annotations

import pytest
import trio

from gateway.daemon.signals import Stop
from gateway.daemon.starting import taken_up
from gateway.errors import JournalFull
from gateway.journal import Memory, open_memory_journal
from gateway.records import Accept
from gateway.testing.journal_words import a_message, committed


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
