"""oclaw on a machine that misbehaves, without root's help.

    python -m tests.proofs.misbehaving slow-disk SECONDS run --config …      every commit takes so long
    python -m tests.proofs.misbehaving leaping-clock FILE run --config …     the wall clock is off by what FILE says

What the daemon asks is what misbehaves, as it would on the machine: the end of a transaction, the time of day.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.journal.ledger import Ledger


def slow_disk(seconds: str) -> None:
    made = Ledger.__init__

    def make(self: Ledger, db: Any, commit: Callable[[], object] | None = None, **more: Any) -> None:
        def slow() -> None:
            time.sleep(float(seconds))
            (commit or db.commit)()

        made(self, db, slow, **more)

    Ledger.__init__ = make  # type: ignore[method-assign]


def leaping_clock(path: str) -> None:
    true, off = time.time, Path(path)
    time.time = lambda: true() + float(off.read_text())


if __name__ == "__main__":
    trouble, how, *rest = sys.argv[1:]
    {"slow-disk": slow_disk, "leaping-clock": leaping_clock}[trouble](how)
    from gateway.cli import main

    sys.argv = ["oclaw", *rest]
    main()
