"""Wait for another process that writes into the file, such as `oclaw journal compact`.

In the writer's thread, and never in the loop.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from gateway.records import Outcome

BUSY_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.005

Fill = Callable[[], list[Outcome]]


def patiently(fill: Fill) -> list[Outcome]:
    """Return what `fill` returns; tried again for ten seconds while somebody else writes. Raises what it raises."""
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return fill()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                raise
        time.sleep(_LOOK_AGAIN_SECONDS)
