"""Both journals keep the same promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.journal import Memory, open_journal, open_memory_journal
from gateway.journal.desk import Desk
from gateway.testing.journal_contract import PROMISES, Promise
from protocols.transport.bell import Bell
from protocols.transport.watch import open_watch


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_journal_on_disk(promise: Promise, tmp_path) -> None:
    await promise(lambda: open_journal(tmp_path / "journal.sqlite"))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_journal_in_memory_on_a_mocked_clock(promise: Promise, autojump_clock) -> None:
    memory = Memory()
    await promise(lambda: open_memory_journal(memory))


@asynccontextmanager
async def in_turns(path: Path) -> AsyncIterator[Desk]:
    """As in the daemon: works are submitted in turns of the watch, whose end puts them into the transaction."""
    async with open_watch() as watch, open_journal(path) as journal:
        bell, submit = Bell(watch), journal.submit
        journal.submit = lambda work, done=None: bell.ring(partial(submit, work, done))
        try:
            yield journal
        finally:
            bell.close()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_journal_on_disk_filled_in_turns(promise: Promise, tmp_path) -> None:
    await promise(lambda: in_turns(tmp_path / "journal.sqlite"))
