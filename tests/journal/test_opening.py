"""Opening: one daemon a file, a damaged or foreign file is refused with a way out, an old one is brought forward."""

from __future__ import annotations

import os
import sqlite3
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
import trio.testing

from gateway.errors import JournalBusy, JournalDamaged, JournalForbidden, JournalFull
from gateway.journal import open_journal
from gateway.journal.checkpoint import checkpoints
from gateway.journal.opening import open_for_writing
from gateway.journal.schema import VERSION
from gateway.message.lifecycle import InboundState
from gateway.records import Accept, Known, Stored
from gateway.testing.journal_words import a_message, committed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


async def filled(path: Path, rows: int = 400) -> None:
    async with open_journal(path) as journal:
        await committed(journal, Accept(tuple(a_message(f"m{n}", key=f"k{n}") for n in range(rows))))


async def test_a_second_daemon_on_the_same_file_is_refused_and_told_who_holds_it(path: Path) -> None:
    async with open_journal(path):
        with pytest.raises(JournalBusy, match=r"in use by process [0-9]+"):
            async with open_journal(path):
                pass
    async with open_journal(path):
        pass


async def test_only_the_owner_may_read_the_file(path: Path) -> None:
    await filled(path)
    assert path.stat().st_mode & 0o077 == 0


async def test_closing_folds_the_wal_back(path: Path) -> None:
    await filled(path)
    assert not path.with_name(path.name + "-wal").exists()


@pytest.mark.parametrize("kept", [0.5, 0.9])
async def test_a_truncated_file_is_refused_with_a_way_out(path: Path, kept: float) -> None:
    await filled(path)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * kept))
    with pytest.raises(JournalDamaged, match="oclaw journal export"):
        async with open_journal(path):
            pass


async def test_scribbled_pages_are_refused_with_a_way_out(path: Path) -> None:
    await filled(path)
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xa5" * 4096 * 20)
    with pytest.raises(JournalDamaged, match="oclaw journal export"):
        async with open_journal(path):
            pass


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database at all\n" * 500)
    with pytest.raises(JournalDamaged):
        async with open_journal(path):
            pass


async def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(JournalDamaged, match="no journal of this gateway"):
        async with open_journal(path):
            pass


@pytest.mark.parametrize("foreign", ["file", "folder"])
async def test_what_belongs_to_somebody_else_is_named_though_it_may_be_read(foreign: str) -> None:
    with TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "journal.sqlite"
        await filled(path)
        path.chmod(0o644)
        folder.chmod(0o777 if foreign == "file" else 0o555)
        before = os.geteuid()
        if before == 0:  # whom nothing is forbidden
            os.chown(path if foreign == "folder" else folder, 65_534, -1)
            os.seteuid(65_534)
        elif foreign == "file":
            pytest.skip("it takes root to make a file somebody else's")
        try:
            with pytest.raises(JournalForbidden, match="not permitted" if foreign == "file" else "denied"):
                open_for_writing(path)
        finally:
            os.seteuid(before)
            folder.chmod(0o700)


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalFull, match="nowhere"):
        async with open_journal(tmp_path / "nowhere" / "journal.sqlite"):
            pass


async def test_damage_met_while_writing_stops_the_daemon(path: Path) -> None:
    with pytest.RaisesGroup(JournalDamaged):
        async with open_journal(path) as journal:
            await committed(journal, Accept((a_message("a"),)))
            clobber(path)
            with trio.fail_after(60):
                await committed(journal, Accept(tuple(a_message(f"m{n}", key=f"k{n}") for n in range(2000))))


async def test_damage_is_left_to_the_writer_to_tell_by_what_copies_pages_beside_it(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.05
    await filled(path)
    clobber(path)
    rounds = count()
    with trio.move_on_after(2):
        await checkpoints(path, lambda: next(rounds))
    assert next(rounds) > 2


def clobber(path: Path) -> None:
    """Break the schema under the running daemon, as a failing disk would."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA writable_schema = 1")
    db.execute("UPDATE sqlite_schema SET sql = 'CREATE TABLE broken' WHERE name = 'inbound'")
    db.execute("PRAGMA schema_version = 1234")
    db.close()


# ---- versions ---------------------------------------------------------------------------------

STEPS = {VERSION: "ALTER TABLE inbound ADD COLUMN tag TEXT NOT NULL DEFAULT ''", VERSION + 1: "CREATE TABLE later (x)"}


def of_version_1(path: Path) -> None:
    """Make the file of a release before the journal had a time of its own."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("DROP TABLE mark; PRAGMA user_version = 1")
    db.close()


async def test_an_old_file_is_brought_forward_after_a_backup_and_serves_on(path: Path) -> None:
    await filled(path, 5)
    of_version_1(path)
    async with open_journal(path) as journal:
        known, new = await committed(journal, Accept((a_message("x", key="k1"),)), Accept((a_message("y", key="y"),)))
        assert known == (Known("m1"),)
        assert isinstance(new, tuple) and isinstance(new[0], Stored)
        rows = await journal.inbound_in(InboundState.ACCEPTED, limit=9)
        assert [row.id for row in rows] == ["m0", "m1", "m2", "m3", "m4", "y"]
    backup = sqlite3.connect(path.with_name(path.name + ".v1.backup"))
    assert backup.execute("PRAGMA user_version").fetchone() == (1,)
    assert backup.execute("SELECT count(*) FROM inbound").fetchone() == (5,)
    backup.close()
    fresh = path.with_name("fresh")
    await filled(fresh, 1)
    assert schema_of(path) == schema_of(fresh)


def schema_of(path: Path) -> list[tuple[str, ...]]:
    db = sqlite3.connect(path)
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
    rows += db.execute("PRAGMA user_version").fetchall()
    db.close()
    return rows


async def test_steps_are_taken_one_after_the_other(path: Path) -> None:
    await filled(path, 5)
    db = open_for_writing(path, STEPS)
    assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 2,)
    assert db.execute("SELECT count(*), max(tag) FROM inbound").fetchone() == (5, "")
    db.close()


async def test_a_step_that_fails_leaves_the_version_before_it(path: Path) -> None:
    await filled(path, 5)
    with pytest.raises(JournalFull):
        open_for_writing(path, {VERSION: STEPS[VERSION], VERSION + 1: "CREATE TABLE later (x); SELECT nonsense"})
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'later'").fetchone() == (0,)
    db.close()


async def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    await filled(path, 5)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalDamaged, match="version 99"):
        async with open_journal(path):
            pass
