"""A disk that refuses: new messages are turned away, everything else waits and is written when space returns."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio

from gateway.journal import Memory, open_journal, open_memory_journal
from gateway.journal.clerk import LARGEST
from gateway.journal.ledger import Entry, Ledger
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.notices import JournalFailed, JournalRecovered
from gateway.records import Accept, Failed, Moved, Outcome, Revive, Stored
from gateway.testing.journal_words import a_message, a_reply, committed, done_with, settled


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tiny"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting a small file system takes root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_works_that_cannot_be_refused_wait_for_the_disk(autojump_clock) -> None:
    memory, notices, called = Memory(), [], []
    async with open_memory_journal(memory, report=notices.append) as journal:
        await committed(journal, Accept((a_message("a"), a_message("b"), a_message("c"))))
        await committed(journal, done_with("b", a_reply("b.0")), done_with("c", a_reply("c.0")))
        await committed(journal, settled("c.0", DeliveryState.DEAD))
        memory.fail_commits()
        over = trio.Event()

        def note(name: str):
            return lambda outcome: called.append((name, outcome))

        journal.submit(done_with("a", a_reply("a.0")), note("hand-over"))
        journal.submit(Accept((a_message("d", key="k"),)), note("accept"))
        journal.submit(settled("b.0", DeliveryState.DELIVERED), note("settle"))
        journal.submit(Revive(id="c.0", to=DeliveryState.PENDING, at=1.0), note("revive"))
        await trio.sleep(10)
        assert [name for name, _ in called] == ["accept"]
        assert isinstance(called[0][1], Failed)
        assert "full" in journal.failing
        assert journal.backlog == 3
        memory.fail_commits(0)
        journal.submit(settled("a.0", DeliveryState.DELIVERED), lambda _: over.set())
        await over.wait()
        assert called[1:] == [("hand-over", Moved()), ("settle", Moved()), ("revive", Moved())]
        assert journal.failing == ""
        assert [type(notice) for notice in notices] == [JournalFailed, JournalRecovered]


async def test_the_retry_of_a_refused_message_is_not_a_duplicate(autojump_clock) -> None:
    memory = Memory()
    async with open_memory_journal(memory) as journal:
        memory.fail_commits(1)
        (first,) = await committed(journal, Accept((a_message("a", key="k"),), ("memory", "offset", b"9")))
        assert isinstance(first, Failed)
        assert await journal.cursor("memory", "offset") == b""
        await trio.sleep(1)
        (second,) = await committed(journal, Accept((a_message("b", key="k"),)))
        assert isinstance(second, tuple)
        assert isinstance(second[0], Stored)


async def test_it_notices_by_itself_that_the_disk_takes_writes_again(autojump_clock) -> None:
    memory = Memory()
    async with open_memory_journal(memory) as journal:
        memory.fail_commits(3)
        await committed(journal, Accept((a_message("a"),)))
        assert journal.failing
        await trio.sleep(2)
        assert journal.failing == ""


async def test_a_crash_while_the_disk_refuses_leaves_the_record_unfinished(autojump_clock) -> None:
    memory = Memory()
    async with open_memory_journal(memory) as journal:
        await committed(journal, Accept((a_message("a"),)))
        memory.fail_commits()
        journal.submit(done_with("a", a_reply("a.0")))
        await trio.sleep(5)
        memory.crash()
    memory.fail_commits(0)
    async with open_memory_journal(memory) as journal:
        assert [row.id for row in await journal.inbound_in(InboundState.ACCEPTED, limit=9)] == ["a"]


async def test_paused_commits_call_nobody_back_until_resumed(autojump_clock) -> None:
    memory, called = Memory(), []
    async with open_memory_journal(memory) as journal:
        memory.pause_commits()
        journal.submit(Accept((a_message("a"),)), called.append)
        await trio.sleep(60)
        assert called == []
        assert journal.backlog == 1
        memory.resume_commits()
        await trio.sleep(1)
        assert len(called) == 1


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))


async def test_a_full_disk_loses_nothing_and_recovers_when_space_returns(tiny_disk: Path) -> None:
    ballast = tiny_disk / "ballast"
    async with open_journal(tiny_disk / "journal.sqlite") as journal:
        await committed(journal, *(Accept((a_message(f"m{n}"),)) for n in range(50)))
        fill(ballast)
        refused = 0
        for number in range(10_000):
            (outcome,) = await committed(journal, Accept((a_message(f"late{number}"),)))
            if isinstance(outcome, Failed):
                refused = number
                break
        assert "full" in journal.failing
        moved: list[Outcome] = []
        over = trio.Event()
        for number in range(50):
            journal.submit(done_with(f"m{number}", a_reply(f"m{number}.0")), moved.append)
        journal.submit(settled("m0.0", DeliveryState.DELIVERED), lambda _: over.set())
        await trio.sleep(0.3)
        assert not over.is_set()
        ballast.unlink()
        with trio.fail_after(60):
            await over.wait()
        assert moved == [Moved()] * 50
        assert journal.failing == ""
        tally = await journal.tally()
        assert tally["inbound.done"] == 50
        assert tally["inbound.accepted"] == refused
        outcomes = await committed(journal, Accept((a_message(f"late{refused}"),)))
        assert isinstance(outcomes[0], tuple)


async def test_what_a_refusing_disk_kept_waiting_is_written_in_transactions_of_bounded_size(
    autojump_clock, monkeypatch
) -> None:
    sizes, commit = [], Ledger.commit

    def measured(ledger: Ledger, works: Sequence[Entry]) -> list[Outcome]:
        sizes.append(len(works))
        return commit(ledger, works)

    memory, called = Memory(), []
    count = 2 * LARGEST + 7
    async with open_memory_journal(memory) as journal:
        names = [f"m{number}" for number in range(count)]
        for start in range(0, count, LARGEST):
            await committed(journal, Accept(tuple(map(a_message, names[start : start + LARGEST]))))
        monkeypatch.setattr(Ledger, "commit", measured)
        memory.fail_commits()
        for name in names:
            journal.submit(done_with(name), lambda _, name=name: called.append(name))
        await trio.sleep(10)
        assert journal.backlog == count
        memory.fail_commits(0)
        await trio.sleep(1)
        assert called == names
        assert journal.backlog == 0
    assert max(sizes) <= LARGEST
