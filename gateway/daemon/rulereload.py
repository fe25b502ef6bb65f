"""Put edited rule files in force while everything runs, and nothing else: no channel, model or hook is touched.

Everything is validated in a thread, then one reference is swapped between two messages; on any error the old
rules serve on, and what is wrong is in the log, in `oclaw status` and in the metrics.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import trio
from msgspec import Struct

from gateway.daemon.rulebuild import Breath, Compiled, Wrong, recompiled, unhurried
from gateway.daemon.rulefiles import MOST_READINGS, REST_SECONDS, RuleFiles
from gateway.notices import ConfigurationLoaded, ConfigurationRefused, Report
from gateway.supervise.crash import tell
from rules import Ruleset

# Messages that began before a reload end by the rules they began with; one that takes longer is decided without rules.
FAREWELL_SECONDS = 600.0


class Live(Struct, frozen=True):
    """The rules that serve, and the bytes they were made of."""

    folder: Path
    ruleset: Ruleset
    files: Mapping[str, bytes]


class _Over(Struct, frozen=True):
    """Rules that were replaced, and the event after which nobody decides by them."""

    old: Ruleset
    new: Ruleset
    free: trio.Event


class RulesState(Struct):
    """What `oclaw status` and the metrics tell of the rules."""

    loaded_at: float
    generation: int = 1
    refused: str = ""
    changes: tuple[str, ...] = ()
    added: int = 0
    removed: int = 0
    changed: int = 0


class RuleReload:
    """Owns the rules' generation. `live` reads what serves, `swap` puts another in its place; both in the loop."""

    def __init__(
        self,
        live: Callable[[], Live],
        swap: Callable[[Compiled, dict[str, bytes]], None],
        report: Report,
        now: Callable[[], float],
    ) -> None:
        self._live, self._swap, self._report, self._now = live, swap, report, now
        self.state = RulesState(now())
        # One at a time, and never in one of the threads that the journal or DNS waits for.
        self._threads = trio.CapacityLimiter(1)
        self._files = RuleFiles()
        self._readers = 0
        self._read = trio.lowlevel.ParkingLot()
        self._over: deque[_Over] = deque()
        self._some_over, self._none_over = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()

    async def look(self) -> bool:
        """Compare the disk with what serves and act on it; say whether other rules went live."""
        live = self._live()
        try:
            found = await trio.to_thread.run_sync(_read_and_compile, live, self._files, limiter=self._threads)
        except Exception as error:  # unforeseen; what serves goes on
            found = Wrong((f"the rules cannot be compiled: {tell(error)}",))
        match found:
            case None:
                self._unchanged()
                return False
            case Wrong(problems):
                self.refuse("\n".join(problems))
                return False
            case (files, Compiled() as done):
                self._swap(done, files)
                self.took(done)
                self.retire(live.ruleset, done.ruleset)
                return True

    def retire(self, old: Ruleset, new: Ruleset, used: object = None) -> None:
        """Have `let_go` take rules apart, as `new` serves in their place, once `used` is gone."""
        free = trio.Event()
        if used is None:
            free.set()
        else:
            # The last of it may be let go of in any thread.
            weakref.finalize(used, _tell_loop, trio.lowlevel.current_trio_token(), free.set).atexit = False
        if old is not new:
            self._over.append(_Over(old, new, free))
            self._some_over.unpark_all()

    async def let_go(self) -> None:
        """Take rules apart that decide nothing any more, once nobody reads them either; runs for ever."""
        while True:
            while not self._over:
                await self._some_over.park()
            # In order: each shares tables with the next.
            over = self._over[0]
            with trio.move_on_after(FAREWELL_SECONDS):
                await over.free.wait()
            while self._readers:
                await self._read.park()
            await trio.to_thread.run_sync(_retire, over.old, over.new, limiter=self._threads)
            self._over.popleft()
            del over
            self._none_over.unpark_all()

    async def settled(self) -> None:
        """Wait until rules that were replaced are taken apart."""
        while self._over:
            await self._none_over.park()

    @contextmanager
    def reading(self) -> Iterator[Ruleset]:
        """Hold the rules in force as they are: for whoever reads them in a thread."""
        self._readers += 1
        try:
            yield self._live().ruleset
        finally:
            self._readers -= 1
            self._read.unpark_all()

    def took(self, done: Compiled) -> None:
        """Note and tell that these rules are in force."""
        self.state = RulesState(
            self._now(),
            self.state.generation + 1,
            "",
            done.changes,
            len(done.added),
            len(done.removed),
            len(done.changed),
        )
        self._report(ConfigurationLoaded("rules", "; ".join(done.changes) or "no rule changed"))

    def refuse(self, why: str) -> None:
        """Note and tell that edited rules were refused; told once for the same reason."""
        if why != self.state.refused:
            self.state.refused = why
            self._report(ConfigurationRefused("rules", why))

    def _unchanged(self) -> None:
        if self.state.refused:
            self.state.refused = ""
            self._report(ConfigurationLoaded("rules", "the files are again as they serve"))


def _read_and_compile(live: Live, reader: RuleFiles) -> tuple[dict[str, bytes], Compiled] | Wrong | None:
    """Read and compile the files until nobody wrote to them meanwhile: half a file is no rule file."""
    done, rests = _read_once(live, reader)
    for _ in range(MOST_READINGS - 1):
        if rests:
            break
        if isinstance(done, tuple):
            done[1].ruleset.discard(live.ruleset, Breath())
        time.sleep(REST_SECONDS)
        done, rests = _read_once(live, reader)
    return done


def _read_once(live: Live, reader: RuleFiles) -> tuple[tuple[dict[str, bytes], Compiled] | Wrong | None, bool]:
    try:
        files = reader.read_rested(live.folder, may_lack=not live.files, served=live.files)
        done = recompiled(live.ruleset, live.files, files)
        rests = reader.at_rest()
    except OSError as error:
        place = os.fspath(error.filename or live.folder)
        return Wrong((f"{place} cannot be read: {error.strerror}; the rules in force stay",)), True
    if isinstance(done, Compiled) and files == live.files and not done.changes:
        done.ruleset.discard(live.ruleset, Breath())
        return None, rests
    return done if isinstance(done, Wrong) else (files, done), rests


def _tell_loop(token: trio.lowlevel.TrioToken, what: Callable[[], None]) -> None:
    with suppress(trio.RunFinishedError):
        token.run_sync_soon(what)


def _retire(old: Ruleset, new: Ruleset) -> None:
    with unhurried():
        old.retire(new, Breath())
