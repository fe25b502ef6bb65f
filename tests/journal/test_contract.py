"""Both journals keep the same promises."""

from __future__ import annotations

import pytest

from gateway.journal import Memory, open_journal, open_memory_journal
from gateway.testing.journal_contract import PROMISES, Promise


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_journal_on_disk(promise: Promise, tmp_path) -> None:
    await promise(lambda: open_journal(tmp_path / "journal.sqlite"))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_the_journal_in_memory_on_a_mocked_clock(promise: Promise, autojump_clock) -> None:
    memory = Memory()
    await promise(lambda: open_memory_journal(memory))
