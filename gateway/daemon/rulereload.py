"""Put edited rule files in force while everything runs, and nothing else: no channel, model or hook is touched.

Everything is validated in a thread, then one reference is swapped between two messages; on any error the old
rules serve on, and what is wrong is in the log, in `oclaw status` and in the metrics.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import trio
from msgspec import Struct

from gateway.daemon.rulebuild import Compiled, Wrong, recompiled, unhurried
from gateway.daemon.rulefiles import read_rules
from gateway.daemon.watching import REST_SECONDS
from gateway.notices import ConfigurationLoaded, ConfigurationRefused, Report
from gateway.supervise.crash import tell
from rules import Ruleset

# A file that is written to without end goes through at last, as it is.
MOST_READINGS = 10


class Live(Struct, frozen=True):
    """The rules that serve, and the bytes they were made of; `sight` tells what the files on the disk are."""

    folder: Path
    ruleset: Ruleset
    files: Mapping[str, bytes]
    sight: Callable[[], object] = lambda: None


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

    async def look(self) -> bool:
        """Compare the disk with what serves and act on it; say whether other rules went live."""
        live = self._live()
        try:
            found = await trio.to_thread.run_sync(_read_and_compile, live, limiter=self._threads)
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
                await trio.to_thread.run_sync(_retire, live.ruleset, done.ruleset, limiter=self._threads)
                return True

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


def _read_and_compile(live: Live) -> tuple[dict[str, bytes], Compiled] | Wrong | None:
    """Read and compile the files until nobody wrote to them meanwhile: half a file is no rule file."""
    for _ in range(MOST_READINGS):
        before = live.sight()
        done = _read_once(live)
        if live.sight() == before:
            break
        time.sleep(REST_SECONDS)
    return done


def _read_once(live: Live) -> tuple[dict[str, bytes], Compiled] | Wrong | None:
    try:
        files = read_rules(live.folder, may_lack=not live.files)
    except OSError as error:
        place = os.fspath(error.filename or live.folder)
        return Wrong((f"{place} cannot be read: {error.strerror}; the rules in force stay",))
    done = recompiled(live.ruleset, files)
    if isinstance(done, Compiled) and files == live.files and not done.changes:
        return None
    return done if isinstance(done, Wrong) else (files, done)


def _retire(old: Ruleset, new: Ruleset) -> None:
    with unhurried():
        old.retire(new)
