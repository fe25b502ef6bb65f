"""A crash at every commit, before it stands and right after: the next start finishes the story once."""

from __future__ import annotations

import pytest
import trio

from gateway.journal import Memory, open_memory_journal
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.ports import Journal
from gateway.records import Accept
from gateway.testing.journal_words import a_message, a_reply, committed, done_with, recovered, settled

NAMES = ("a", "b")
COMMITS = 9  # the counting at its start, and four for each message


async def story(journal: Journal) -> None:
    """Take up what is there, ask for what is not, and bring every message to its reply's delivery."""
    inbound, deliveries = await recovered(journal)
    for row in deliveries:
        await committed(journal, settled(row.id, DeliveryState.DELIVERED))
    for row in inbound:
        await finish(journal, row.id)
    for name in NAMES:
        (outcome,) = await committed(journal, Accept((a_message(name, key=name),), ("memory", "offset", name.encode())))
        assert isinstance(outcome, tuple)
        if hasattr(outcome[0], "seq"):
            await finish(journal, name)


async def finish(journal: Journal, name: str) -> None:
    await committed(journal, done_with(name, a_reply(f"{name}.0")))
    await committed(journal, settled(f"{name}.0", DeliveryState.SENDING))
    await committed(journal, settled(f"{name}.0", DeliveryState.DELIVERED))


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("commit", range(1, COMMITS + 1))
async def test_a_crash_loses_nothing_and_repeats_nothing(commit: int, kept: bool, autojump_clock) -> None:
    memory = Memory()
    memory.crash_at(commit, kept=kept)
    async with open_memory_journal(memory) as journal, trio.open_nursery() as nursery:
        nursery.start_soon(story, journal)
        await memory.until_crashed()
        nursery.cancel_scope.cancel()
    async with open_memory_journal(memory) as journal:
        await story(journal)
        done = await journal.inbound_in(InboundState.DONE, limit=9)
        delivered = await journal.deliveries_in(DeliveryState.DELIVERED, limit=9)
        assert [row.id for row in done] == ["a", "b"]
        assert [row.id for row in delivered] == ["a.0", "b.0"]
        assert await journal.cursor("memory", "offset") == b"b"
