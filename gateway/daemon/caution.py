"""After a stop that was not orderly, go carefully for a while.

A file in the state directory says that a gateway runs; an orderly stop removes it. Who finds it at the
start comes after a crash, and a message may have caused that: until `CAREFUL_SECONDS` have passed every
message is committed before any hook sees it, so that one which kills the process is in the journal when
it does, its attempts are counted, and it ends among the dead letters instead of coming again for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from gateway.flow.accept import Door

MARK = "running"
# Longer than the first steps of any platform's retry ladder: what killed us comes again within it.
CAREFUL_SECONDS = 900.0


@asynccontextmanager
async def careful(state_dir: Path, door: Door) -> AsyncIterator[None]:
    """Mark that a gateway runs here while the block does; the mark stays when the block is not left in order."""
    mark = state_dir / MARK
    door.cautious = mark.exists()
    mark.touch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_relax, door)
        yield
        nursery.cancel_scope.cancel()
    mark.unlink(missing_ok=True)


async def _relax(door: Door) -> None:
    await trio.sleep(CAREFUL_SECONDS)
    door.cautious = False
