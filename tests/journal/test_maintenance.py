"""Looking after the file from beside the running daemon."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from gateway.errors import JournalDamaged, JournalError
from gateway.journal import Retention, maintenance, open_journal
from gateway.journal.ledger import Chore
from gateway.journal.retention import DAY, Pruner
from gateway.journal.schema import VERSION
from gateway.journal.uptime import Uptime
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.ports import Journal
from gateway.records import Accept, HandOver
from gateway.testing.journal_words import a_message, a_reply, committed, done_with, settled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


async def fill(journal: Journal, rows: int = 300) -> None:
    names = [f"m{n}" for n in range(rows)]
    await committed(journal, Accept(tuple(a_message(name, key=name) for name in names)))
    await committed(journal, *(done_with(name, a_reply(f"{name}.0")) for name in names[:-1]))
    await committed(journal, *(settled(f"{name}.0", DeliveryState.DELIVERED, note=b"n") for name in names[:-1]))


async def pruned(journal: Journal, at: float) -> None:
    """Prune as if both clocks said so much, over a journal that was marked at 102 seconds."""
    await journal.perform(Chore(Uptime(102.0, wall=lambda: 102.0).mark))
    await Pruner(Retention(finished_days=7, dead_days=30), at, at).round(journal.perform)


async def test_info_and_check_read_beside_the_daemon(path: Path) -> None:
    async with open_journal(path) as journal:
        await fill(journal)
        seen = maintenance.info(path)
        assert (seen.rows["inbound.done"], seen.rows["inbound.accepted"], seen.dedupe_keys) == (299, 1, 300)
        assert (seen.oldest_at, seen.version) == (100.0, VERSION)
        assert maintenance.check(path) == []


async def test_check_finds_counters_and_orphans(path: Path) -> None:
    async with open_journal(path) as journal:
        await fill(journal)
    db = sqlite3.connect(path)
    db.execute("UPDATE tally SET rows = 7 WHERE name = 'inbound.done'")
    db.execute("DELETE FROM inbound WHERE id = 'm5'")
    db.commit()
    db.close()
    found = maintenance.check(path)
    assert any("inbound.done says 7" in line for line in found)
    assert any("belongs to no message" in line for line in found)


async def test_a_backup_of_a_live_journal_opens_as_a_journal(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.sqlite"
    async with open_journal(path) as journal:
        await fill(journal)
        assert maintenance.backup(path, target) == target.stat().st_size
        with pytest.raises(JournalError, match="exists"):
            maintenance.backup(path, target)
    assert target.stat().st_mode & 0o077 == 0
    assert maintenance.check(target) == []
    async with open_journal(target) as journal:
        assert (await journal.tally())["inbound.done"] == 299


async def test_export_gives_every_row(path: Path) -> None:
    async with open_journal(path) as journal:
        await fill(journal)
        lines = [json.loads(line) for line in maintenance.export(path)]
    assert lines[-1] == {
        "table": "",
        "read": {"inbound": 300, "delivery": 299, "dedupe": 300, "cursor": 0},
        "unreadable": 0,
    }
    assert lines[0]["id"] == "m0"


async def test_export_saves_what_a_damaged_file_still_holds(path: Path) -> None:
    async with open_journal(path) as journal:
        await fill(journal, 3000)
    with path.open("r+b") as file:
        file.seek(4096 * 60)
        file.write(b"\xa5" * 4096 * 3)
    assert maintenance.check(path) != []
    with pytest.raises(JournalDamaged):
        async with open_journal(path):
            pass
    last = json.loads(list(maintenance.export(path))[-1])
    assert last["unreadable"] > 0
    assert last["read"]["inbound"] + last["read"]["delivery"] > 4000


def test_a_journal_that_is_not_there_is_named(path: Path) -> None:
    for function in (maintenance.info, maintenance.check, maintenance.compact):
        with pytest.raises(JournalError, match="no journal at"):
            function(path)


async def test_retention_deletes_what_is_over_and_nothing_else(path: Path) -> None:
    async with open_journal(path) as journal:
        await fill(journal)
        states = {"held": InboundState.HELD, "dead": InboundState.DEAD, "dropped": InboundState.DROPPED}
        await committed(journal, Accept(tuple(a_message(name) for name in (*states, "waits", "newest"))))
        await committed(journal, *(HandOver(id=name, state=state, at=101.0) for name, state in states.items()))
        await committed(journal, done_with("waits", a_reply("waits.0")), done_with("newest", a_reply("newest.0")))
        await committed(journal, settled("newest.0", DeliveryState.DELIVERED))
        await pruned(journal, 102.0 + 8 * DAY)
        left = {row.id for state in InboundState for row in await journal.inbound_in(state, limit=999)}
        assert left == {"m299", "held", "dead", "waits", "newest"}
        assert maintenance.check(path) == []
        assert maintenance.info(path).dedupe_keys == 300
        await pruned(journal, 2e9)
        assert await journal.message("dead") is None
        assert maintenance.info(path).dedupe_keys == 0
        assert maintenance.check(path) == []
    async with open_journal(path) as journal:
        row = await journal.message("newest")
        (stored,) = await committed(journal, Accept((a_message("next"),)))
        assert row is not None
        assert stored[0].seq > row.seq


async def test_the_oldest_dead_letters_beyond_the_most_are_dropped_and_counted(path: Path) -> None:
    async with open_journal(path) as journal:
        names = [f"m{n}" for n in range(130)]
        await committed(journal, Accept(tuple(a_message(name) for name in names)))
        await committed(journal, *(HandOver(id=n, state=InboundState.DEAD, at=101.0) for n in names[:125]))
        await committed(journal, *(done_with(name, a_reply(f"{name}.0")) for name in names[125:]))
        await committed(journal, *(settled(f"{name}.0", DeliveryState.DEAD) for name in names[125:]))
        pruner = Pruner(Retention(most_dead=3), 200.0, 200.0)
        await pruner.round(journal.perform)
        assert pruner.shed == 122 + 2
        assert [row.id for row in await journal.inbound_in(InboundState.DEAD, limit=9)] == ["m122", "m123", "m124"]
        latest = await journal.deliveries_in(DeliveryState.DEAD, limit=2, latest=True)
        assert [row.id for row in latest] == ["m129.0", "m128.0"]
        assert maintenance.check(path) == []


async def test_compacting_beside_the_daemon_gives_space_back(path: Path) -> None:
    async with open_journal(path) as journal:
        await fill(journal, 2500)
        await pruned(journal, 1e9)
        freed = maintenance.compact(path)
        assert freed > path.stat().st_size
        assert maintenance.info(path).free_bytes == 0
        (outcome,) = await committed(journal, Accept((a_message("after"),)))
        assert isinstance(outcome, tuple)


async def test_compacting_waits_for_who_still_reads_what_was_there_before(path: Path) -> None:
    freed: list[int] = []
    async with open_journal(path) as journal:
        await fill(journal, 1000)
        await pruned(journal, 1e9)
        async with trio.open_nursery() as nursery:
            with closing(sqlite3.connect(path, isolation_level=None)) as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM inbound").fetchone()
                work = partial(trio.to_thread.run_sync, lambda: freed.append(maintenance.compact(path)))
                nursery.start_soon(work)
                while maintenance.info(path).free_bytes:
                    await trio.sleep(0.01)
    assert freed[0] > path.stat().st_size


async def test_a_backup_of_a_damaged_journal_leaves_nothing_behind(path: Path) -> None:
    async with open_journal(path):
        pass
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\x99" * 50 + content[150:])
    with pytest.raises(JournalDamaged):
        maintenance.backup(path, path.with_name("backup"))
    assert list(path.parent.glob("backup*")) == []
