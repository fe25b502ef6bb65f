"""Decide what becomes of a group of works when the disk takes it, refuses it, or is damaged.

While it refuses, new messages are turned away (the platform keeps them and comes again);
every other work is kept, in order, and tried again until the disk takes it: a bounded number at
once, as the loop fills the transaction. Nothing here waits: the caller comes back while it is `due`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from gateway.errors import JournalDamaged
from gateway.journal.ledger import Entry, Ledger, blames_the_work
from gateway.records import Accept, Failed, Outcome

AGAIN_SECONDS = 0.25  # a refusing disk is asked four times a second: cheap, and an operator sees it recover at once

# Bounds one transaction, and so the time until the first of a flood is acknowledged, to some 20 ms.
LARGEST = 512

Done = Callable[[Outcome], None] | None
Item = tuple[Entry, Done]
Settled = tuple[Done, Outcome]

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_WORKS_OWN = (ValueError, TypeError, OverflowError, AttributeError)


class Clerk:
    """Stands between a queue of works and the ledger. `failing` says why the disk refuses, or ''."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._kept: list[Item] = []
        self._again_at = 0.0
        self.failing = ""

    @property
    def kept(self) -> int:
        """How many works wait for the disk."""
        return len(self._kept)

    @property
    def due(self) -> bool:
        """Whether there is something to commit now, even when nothing new was submitted."""
        return self._clock() >= self._again_at if self.failing else bool(self._kept)

    @property
    def ahead(self) -> int:
        """How many of the next batch's works stand in the transaction already."""
        return self._ledger.ahead

    def fill(self, works: Sequence[Entry]) -> None:
        """Put the next batch's next works into the transaction. Raises what SQLite raises: `commit` looks into it."""
        if not (self.failing or self._kept):
            self._ledger.fill(works)

    def commit(self, batch: Sequence[Item]) -> list[Settled]:
        """Commit the batch, after what was kept. Returns what is settled, in order; raises JournalDamaged.

        An empty batch asks a refusing disk again. What is beyond the largest transaction is kept for the next one.
        """
        items = self._kept + list(batch)
        if self.failing and not self.due:
            return self._turn_away(items)
        now = items[:LARGEST]
        try:
            outcomes = self._write([work for work, _ in now])
        except sqlite3.Error as error:
            return self._refused(items, error)
        self.failing = ""
        self._kept = items[LARGEST:]
        return [(done, outcome) for (_, done), outcome in zip(now, outcomes, strict=True)]

    def _write(self, works: Sequence[Entry]) -> list[Outcome]:
        if self.failing:
            self._ledger.probe()
        try:
            return self._ledger.commit(works)
        except _WORKS_OWN:
            pass
        except sqlite3.Error as error:
            if not blames_the_work(error):
                raise
        return self._ledger.commit_singly(works)

    def _refused(self, items: list[Item], error: sqlite3.Error) -> list[Settled]:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE:
            raise JournalDamaged(
                f"The journal file is damaged ({error}). Stop here: `oclaw journal check` shows where, "
                "`oclaw journal export` saves what can be read, and the newest backup replaces the file."
            ) from error
        self.failing = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
        self._again_at = self._clock() + AGAIN_SECONDS
        return self._turn_away(items)

    def _turn_away(self, items: list[Item]) -> list[Settled]:
        self._kept = [item for item in items if not isinstance(item[0], Accept)]
        refusal = Failed(self.failing)
        return [(done, refusal) for work, done in items if isinstance(work, Accept)]
