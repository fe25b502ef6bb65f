"""The journal for stories on a mocked clock: the same tables in memory, no threads, and faults on demand.

`Memory` is the disk: it outlives the journal opened over it, so a test can crash one and
open the next over what was committed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import trio

from gateway.journal import schema
from gateway.journal.callbacks import Callbacks
from gateway.journal.clerk import AGAIN_SECONDS, Clerk, Done, Item
from gateway.journal.desk import Desk
from gateway.journal.ledger import Entry, Ledger
from gateway.journal.writer import RIDE_SECONDS
from gateway.notices import Notice, Report

WakeUp = Callable[[], AbstractContextManager[None]]


def _quiet(notice: Notice) -> None:
    """Report to nobody."""


class Memory:
    """A disk that a test holds in its hand. `commits` counts the groups written."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        schema.create(self.db)
        self.commits = 0
        self._refusals = 0
        self._why = ""
        self._resumed = trio.Event()
        self._resumed.set()
        self._until_crash, self._kept = 0, True
        self._crash = trio.Event()

    @property
    def crashed(self) -> bool:
        """Whether it has stopped; opening a journal over it starts it again."""
        return self._crash.is_set()

    def fail_commits(self, times: int = 1_000_000_000, *, why: str = "database or disk is full") -> None:
        """Refuse the next `times` commits; 0 heals the disk."""
        self._refusals, self._why = times, why

    def pause_commits(self) -> None:
        """Let commits hang, as on a stalled disk, until resumed."""
        self._resumed = trio.Event()

    def resume_commits(self) -> None:
        """Let commits go on."""
        self._resumed.set()

    def crash(self) -> None:
        """Stop as kill -9 does: what is not committed is gone, no callback runs any more.

        Cancel what runs inside the journal; the next `open_memory_journal` over this memory starts from the commits.
        """
        self._crash.set()

    def crash_at(self, commit: int, *, kept: bool) -> None:
        """Crash at the so-manieth commit from now (1 is the next): as it stands but nobody heard, or just before."""
        self._until_crash, self._kept = commit, kept

    async def until_crashed(self) -> None:
        """Return when it has crashed: the moment to cancel what runs inside the journal."""
        await self._crash.wait()

    def restart(self) -> None:
        """Run again after a crash."""
        self._crash = trio.Event()
        self._until_crash = 0

    async def ready(self) -> None:
        """Wait while commits are paused; always a checkpoint."""
        await trio.lowlevel.checkpoint()
        await self._resumed.wait()

    def commit(self) -> None:
        """End a transaction, or raise what a full disk would, as often as asked for."""
        if self._refusals > 0:
            self._refusals -= 1
            raise _full(self._why)
        self._until_crash -= 1
        if self._until_crash == 0:
            self._crash.set()
            if not self._kept:
                raise _full("crashed")
        self.db.commit()
        self.commits += 1


def _full(why: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(why)
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
    return error


@asynccontextmanager
async def open_memory_journal(
    memory: Memory | None = None, *, report: Report = _quiet, wake_up: WakeUp = nullcontext
) -> AsyncIterator[Desk]:
    """Open a journal over `memory`, or over a fresh one. Promises what `open_journal` does, but for durability.

    A commit's callbacks run inside `wake_up()`, as those of the journal on disk do inside a wake-up of the watch.
    """
    memory = memory or Memory()
    if memory.crashed:
        memory.restart()
    store = MemoryStore(memory, report, wake_up)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        try:
            yield Desk(store)
        finally:
            with trio.move_on_after(RIDE_SECONDS, shield=True):
                await store.finish()
            store.end()


class MemoryStore:
    """The queue and the one task that commits it."""

    def __init__(self, memory: Memory, report: Report, wake_up: WakeUp) -> None:
        self._memory, self._wake_up = memory, wake_up
        self._clerk = Clerk(Ledger(memory.db, memory.commit, uptime=self.uptime), trio.current_time)
        self._callbacks = Callbacks(report, trio.lowlevel.current_trio_token().run_sync_soon)
        self._inbox: deque[Item] = deque()
        self._news = trio.Event()
        self._wanted = trio.Event()
        self._ended = trio.Event()
        self._closing = False
        self._at_it_since: float | None = None
        self._life = trio.CancelScope(shield=True)

    @property
    def backlog(self) -> int:
        return len(self._inbox) + self._clerk.kept

    @property
    def failing(self) -> str:
        return self._clerk.failing

    @property
    def sync_seconds(self) -> float:
        return 0.0

    @property
    def stuck_seconds(self) -> float:
        since = self._at_it_since
        return trio.current_time() - since if since is not None else 0.0

    def submit(self, work: Entry, done: Done = None) -> None:
        self._inbox.append((work, done))
        self._news.set()
        if done is not None:
            self._wanted.set()

    def uptime(self) -> float:
        return trio.current_time()

    async def read(self, function: Callable[..., Any], *values: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(self._memory.db, *values)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Commit and run callbacks until closed."""
        with self._life:
            task_status.started()
            await self._write()

    async def finish(self) -> None:
        """Settle what was submitted, unless the test crashed the disk; the caller's deadline ends a refusing one."""
        self._closing = True
        self._news.set()
        self._wanted.set()
        if not self._memory.crashed:
            await self._ended.wait()
            await self._callbacks.idle()

    def end(self) -> None:
        """End both tasks."""
        self._life.cancel()

    async def _write(self) -> None:
        while not self._memory.crashed and not (self._closing and not self.backlog):
            await self._work()
            self._at_it_since = trio.current_time()
            await self._memory.ready()
            self._at_it_since = None
            if not self._memory.crashed and (self._inbox or self._clerk.due):
                batch = [self._inbox.popleft() for _ in range(len(self._inbox))]
                settled = self._clerk.commit(batch)
                if not self._memory.crashed:
                    with self._wake_up():
                        self._callbacks.land(settled, self._clerk.failing)

        self._ended.set()

    async def _work(self) -> None:
        """Return when there is something to commit. Idle, it sets no timer: a mocked clock may leap over days."""
        if self._clerk.failing:
            await trio.sleep(AGAIN_SECONDS)
        elif not self._clerk.due:
            await self._news.wait()
            with trio.move_on_after(RIDE_SECONDS):
                await self._wanted.wait()
        self._news, self._wanted = trio.Event(), trio.Event()
