"""The journal on disk: SQLite in WAL mode, one writer thread, readers beside it.

`open_journal` is all the rest of the gateway needs to know.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from gateway.journal.callbacks import Callbacks
from gateway.journal.checkpoint import checkpoints
from gateway.journal.clerk import Clerk, Settled
from gateway.journal.desk import Desk
from gateway.journal.inloop import InLoop
from gateway.journal.ledger import Ledger
from gateway.journal.lock import locked
from gateway.journal.opening import connect, open_for_writing
from gateway.journal.retention import Retention, prune
from gateway.journal.uptime import Clock, Uptime, taken_up
from gateway.journal.writer import Writer
from gateway.notices import Notice, Report
from protocols.transport.bell import Bell
from protocols.transport.watch import shared_watch

# Time to commit what is submitted when the gateway stops; what is not stays unfinished and is recovered.
CLOSING_SECONDS = 10.0
WRITER_THREAD = "oclaw-journal"  # as `top -H` shows it
READERS = 2  # history for a model, and a person listing dead letters, do not wait for each other


def _quiet(notice: Notice) -> None:
    """Report to nobody."""


def _never(_work: Callable[[], object]) -> bool:
    """Without a watch there are no turns."""
    return False


@asynccontextmanager
async def open_journal(
    path: Path | str,
    *,
    report: Report = _quiet,
    retention: Retention = Retention(),
    wall: Clock = time.time,
    steady: Clock = time.monotonic,
) -> AsyncIterator[Desk]:
    """Open the journal in the file at `path`, which is made when missing; its folder must exist.

    What is past `retention` or its horizon is counted in the journal's own time, which goes on as `steady` does; `wall`
    (epoch seconds) is what it begins with and what rows are stamped with.

    Raises JournalBusy, JournalDamaged or JournalFull before it yields. Should the writer die, everything inside is
    cancelled and its error raised. On leaving, also when cancelled, what was submitted is committed and its
    callbacks run, within ten seconds.
    """
    path = Path(path)
    with locked(path):
        db = await trio.to_thread.run_sync(open_for_writing, path)
        uptime = taken_up(db, wall=wall, steady=steady)
        store = SqliteStore(path, db, report, uptime)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                nursery.start_soon(checkpoints, path, store.settled)
                desk = Desk(store)
                nursery.start_soon(prune, desk.perform, retention, uptime, report, wall)
                try:
                    yield desk
                finally:
                    with trio.move_on_after(CLOSING_SECONDS, shield=True):
                        await store.finish()
                    store.end()
                    nursery.cancel_scope.cancel()
        finally:
            store.disconnect()


class SqliteStore:
    """The writer's thread, the callbacks and the reading connections of one file."""

    def __init__(self, path: Path, db: sqlite3.Connection, report: Report, uptime: Uptime) -> None:
        self._path = path
        self._db = db
        watch = shared_watch()
        self._bell = Bell(watch)
        self._callbacks = Callbacks(report, self._bell.ring)
        db.execute("PRAGMA busy_timeout = 0")  # whoever else writes is waited for in the thread, not in the loop
        self.uptime = uptime.now
        self._ledger = Ledger(db, uptime=uptime.now, place=InLoop(self._bell))
        self._clerk = Clerk(self._ledger, time.monotonic)
        behind = _never if watch is None else watch.behind
        self._writer = Writer(self._clerk, self._announce, behind, self._bell.hush, self._bell.hear)
        self.submit = self._writer.submit  # every message comes by here three times: no step between
        self._ended = trio.Event()
        self._thread_over = False
        self._life = trio.CancelScope(shield=True)
        self._readers: list[sqlite3.Connection] = []
        self._reading = trio.CapacityLimiter(READERS)

    @property
    def backlog(self) -> int:
        return self._writer.backlog

    @property
    def failing(self) -> str:
        return self._clerk.failing

    @property
    def sync_seconds(self) -> float:
        return self._ledger.sync_seconds

    @property
    def stuck_seconds(self) -> float:
        return self._writer.stuck_seconds

    def settled(self) -> int:
        """Count the works settled since the start."""
        return self._writer.settled

    async def read(self, function: Callable[..., Any], *values: Any) -> Any:
        return await trio.to_thread.run_sync(self._read, function, values, limiter=self._reading)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Write until closed. Shielded: a cancelled gateway still commits what it promised."""
        with self._life:
            task_status.started()
            await self._write()

    async def finish(self) -> None:
        """Let the writer commit what was submitted, and return when the callbacks have run."""
        self._writer.stop()
        await self._ended.wait()
        await self._callbacks.idle()

    def end(self) -> None:
        """Wait for the thread no longer."""
        self._life.cancel()

    def disconnect(self) -> None:
        """Close all connections; the last one folds the WAL back into the file."""
        self._bell.close()
        for reader in self._readers:
            reader.close()
        if self._thread_over:  # else a stalled disk holds it, and the connection ends with the process
            self._ledger.close()
            self._db.close()

    async def _write(self) -> None:
        # A limiter of its own: the default one is shared with DNS look-ups, which must not delay a commit.
        try:
            await trio.to_thread.run_sync(
                self._work, thread_name=WRITER_THREAD, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
            )
        finally:
            self._ended.set()

    def _work(self) -> None:
        try:
            self._writer.run()
        finally:
            self._thread_over = True

    def _announce(self, settled: list[Settled], failing: str) -> None:
        self._bell.ring(partial(self._callbacks.land, settled, failing))

    def _read(self, function: Callable[..., Any], values: tuple[Any, ...]) -> Any:
        db = self._readers.pop() if self._readers else connect(self._path, read_only=True)
        try:
            return function(db, *values)
        finally:
            self._readers.append(db)
