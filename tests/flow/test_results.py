"""Who waits for what became of a message hears it when its walk has ended, and is not kept for one that is gone."""

from __future__ import annotations

import os
from typing import Any

import trio
import trio.testing
from msgspec.structs import replace

from gateway.flow.results import JournalResults
from gateway.journal import open_memory_journal
from gateway.message.dictionary import Dictionaries
from gateway.message.envelope import Envelope
from gateway.message.keyring import new_keyring
from gateway.message.lifecycle import InboundState
from gateway.message.message import Message
from gateway.message.seal import RecordKind, Sealer
from gateway.records import Accept
from gateway.testing.journal_words import a_message, committed, done_with

SEALER = Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom)
ENVELOPE = Envelope(id="m1", message=Message(channel="memory", platform="grpc"), received_at=100.0, deadline=200.0)


async def test_nobody_is_kept_for_a_message_that_is_gone(autojump_clock: trio.testing.MockClock) -> None:
    async with open_memory_journal() as journal:
        results = JournalResults(journal, SEALER)
        with trio.fail_after(1):
            assert await results.wait("past-retention") is None
        assert not results._waiting


async def test_who_waits_for_a_walk_hears_of_its_end(nursery: trio.Nursery) -> None:
    heard: list[Any] = []

    async def wait(results: JournalResults) -> None:
        heard.append(await results.wait("m1"))

    async with open_memory_journal() as journal:
        results = JournalResults(journal, SEALER)
        record = replace(a_message("m1"), sealed=SEALER.seal(RecordKind.ENVELOPE, "m1", ENVELOPE))
        await committed(journal, Accept((record,)))
        for _ in range(2):
            nursery.start_soon(wait, results)
        await trio.testing.wait_all_tasks_blocked()
        assert not heard
        await committed(journal, done_with("m1"))
        ending: Any = None
        results.ended(ENVELOPE, ending)
        await trio.testing.wait_all_tasks_blocked()
        assert [each.state for each in heard] == [InboundState.DONE] * 2
        assert await results.wait("m1") == heard[0]
        assert not results._waiting
