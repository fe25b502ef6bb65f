"""A wall clock that leaps a year ahead, or is put back one, neither empties the journal nor fills it for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.journal import Retention, open_journal
from gateway.journal.desk import Desk
from gateway.journal.ledger import Chore
from gateway.journal.opening import connect
from gateway.journal.retention import DAY, Pruner
from gateway.journal.uptime import taken_up
from gateway.message.lifecycle import DeliveryState
from gateway.records import Accept, HandOver, Known, Settle, Stored
from gateway.testing.journal_words import a_message, a_reply, committed

YEAR = 365 * DAY


class Times:
    """A wall clock that leaps when told to, and a steady one; `passes` moves both."""

    def __init__(self) -> None:
        self.wall, self.steady = 1.8e9, 50.0

    def passes(self, seconds: float) -> None:
        self.wall, self.steady = self.wall + seconds, self.steady + seconds


class Life:
    """One life of a journal under these clocks."""

    def __init__(self, journal: Desk, path: Path, times: Times) -> None:
        self.journal, self._times = journal, times
        with closing(connect(path, read_only=True)) as db:
            self._uptime = taken_up(db, wall=lambda: times.wall, steady=lambda: times.steady)

    async def round(self) -> None:
        """Do what is done every ten minutes."""
        await self.journal.perform(Chore(self._uptime.mark))
        await Pruner(Retention(), self._times.wall, self._uptime.now()).round(self.journal.perform)

    async def receives(self, name: str, key: str = "") -> Stored | Known:
        (outcome,) = await committed(
            self.journal, Accept((a_message(name, key=key or name, at=self._times.wall, known=7 * DAY),))
        )
        assert isinstance(outcome, tuple)
        return outcome[0]

    async def answers(self, name: str) -> None:
        wall = self._times.wall
        await committed(
            self.journal,
            HandOver(id=name, state="done", at=wall, deliveries=(a_reply(f"{name}.0"),)),
            Settle(id=f"{name}.0", state=DeliveryState.DELIVERED, at=wall, attempt=1),
        )

    async def holds(self, *names: str) -> list[bool]:
        return [await self.journal.message(name) is not None for name in names]


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@asynccontextmanager
async def life(path: Path, times: Times) -> AsyncIterator[Life]:
    async with open_journal(path, wall=lambda: times.wall, steady=lambda: times.steady) as journal:
        yield Life(journal, path, times)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("leap", [YEAR, -YEAR])
async def test_what_is_known_stays_known_over_a_leap(leap, restarted, path, times):
    async with life(path, times) as before:
        await before.receives("a")
        await before.answers("a")
        await before.receives("newest")
        times.passes(DAY)
        await before.round()
        times.wall += leap
        if not restarted:
            await before.round()
            assert await before.receives("again", "a") == Known("a")
            assert await before.holds("a") == [True]
    async with life(path, times) as after:
        await after.round()
        assert await after.receives("again", "a") == Known("a")
        assert await after.holds("a") == [True]


@pytest.mark.parametrize("leap", [YEAR, -YEAR])
async def test_nothing_is_kept_longer_for_a_leap(leap, path, times):
    async with life(path, times) as it:
        times.wall += leap  # stamped while the clock was wrong,
        await it.receives("a")
        await it.answers("a")
        await it.receives("newest")
        await it.answers("newest")
        await it.round()
        times.wall -= leap  # put right,
        times.passes(8 * DAY)  # and a week later over
        await it.round()
        assert await it.holds("a", "newest") == [False, True]
        assert isinstance(await it.receives("b", "a"), Stored)


async def test_of_a_pause_an_hour_counts_and_lives_count_whole(path, times):
    async with life(path, times) as first:
        await first.receives("a")
        times.passes(6 * DAY)
        await first.round()
    times.passes(30 * DAY)
    async with life(path, times) as second:
        await second.round()
        assert await second.receives("again", "a") == Known("a")
        times.passes(DAY)
        await second.round()
        assert isinstance(await second.receives("b", "a"), Stored)


async def test_files_are_judged_by_what_the_wall_clock_said_then(path, times):
    async with life(path, times) as it:
        began = times.wall
        await it.round()
        times.wall += YEAR
        await it.round()
        assert await it.journal.wall_before(30 * DAY) == 0, "no file is swept because of a leap"
        times.passes(31 * DAY)
        assert await it.journal.wall_before(30 * DAY) == began + YEAR
        times.wall -= YEAR
        await it.round()
        assert await it.journal.wall_before(30 * DAY) == began + 31 * DAY
