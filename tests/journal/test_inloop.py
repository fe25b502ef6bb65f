"""Transactions are filled in the loop, and nothing that waits for a disk or another process waits there."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import trio
import trio.testing

from gateway.journal import FILE_NAME, open_journal
from gateway.journal import statements as sql
from gateway.journal.inloop import InLoop
from gateway.journal.ledger import Chore
from gateway.journal.opening import connect
from gateway.records import Accept, Moved, Stored
from gateway.testing.journal_words import a_message, committed
from protocols.transport.bell import Bell


async def test_another_process_that_writes_is_waited_for_outside_the_loop(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    async with open_journal(path) as journal:
        await committed(journal, Accept((a_message("m1"),)))
        other = connect(path)
        other.execute("BEGIN IMMEDIATE")
        outcomes: list[object] = []
        journal.submit(Accept((a_message("m2"),)), outcomes.append)
        turns = 0
        while turns < 20:  # the loop turns while the writer waits
            await trio.sleep(0.005)
            turns += 1
        assert outcomes == []
        other.execute("ROLLBACK")
        other.close()
        with trio.fail_after(60):
            while not outcomes:
                await trio.sleep(0.005)
        assert isinstance(outcomes[0], tuple)
        assert isinstance(outcomes[0][0], Stored)


async def test_a_chore_of_the_journal_waits_for_another_process_and_turns_nobody_away(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    async with open_journal(path) as journal:
        await committed(journal, Accept((a_message("m1"),)))
        other = connect(path)
        other.execute("BEGIN IMMEDIATE")
        outcomes: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.perform, Chore(lambda cursor, tally: cursor.execute(sql.PROBE)))
            await trio.testing.wait_all_tasks_blocked()
            journal.submit(Accept((a_message("m2"),)), outcomes.append)
            await trio.sleep(0.05)  # the writer has tried by now, many times
            assert (outcomes, journal.failing) == ([], "")
            other.execute("ROLLBACK")
            other.close()
        with trio.fail_after(60):
            while not outcomes:
                await trio.sleep(0.005)
        assert isinstance(outcomes[0], tuple)
        assert isinstance(outcomes[0][0], Stored)


async def test_statements_run_in_the_loops_thread_and_the_commit_does_not(tmp_path: Path) -> None:

    threads: list[int] = []

    def fill() -> list[object]:
        threads.append(threading.get_ident())
        return [Moved()]

    place = InLoop(Bell(None))
    outcomes = await trio.to_thread.run_sync(place, fill)
    assert outcomes == [Moved()]
    assert threads == [threading.get_ident()]


async def test_an_error_in_the_loop_is_the_writers(tmp_path: Path) -> None:

    def fill() -> list[object]:
        raise sqlite3.IntegrityError("a row of its own fault")

    place = InLoop(Bell(None))
    try:
        await trio.to_thread.run_sync(place, fill)
    except sqlite3.IntegrityError as error:
        assert "fault" in str(error)
    else:
        raise AssertionError("the error was lost")
