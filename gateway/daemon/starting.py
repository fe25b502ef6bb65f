"""The time between an open journal and the first caller who is heard: what a stop left unfinished is taken up.

It takes as long as there is something left, and commits once. Callers wait meanwhile, and `status` gets no answer,
so the two things that would leave it waiting for ever must end it: being asked to stop, and a disk that refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from gateway.daemon.signals import Stop
from gateway.errors import JournalFull
from gateway.ports import Journal

# The journal tries a refused commit four times a second; who refuses so long is full, and no file that came and went.
PATIENCE_SECONDS = 5.0


async def taken_up(take_up: Callable[[], Awaitable[None]], journal: Journal, stop: Stop) -> bool:
    """Call `take_up`; False when `stop` ended it. Raises a group with `JournalFull` when the disk refuses."""
    done = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_leave_when_asked, stop, nursery.cancel_scope)
        nursery.start_soon(_watch_the_disk, journal)
        await take_up()
        done = True
        nursery.cancel_scope.cancel()
    return done


async def _leave_when_asked(stop: Stop, scope: trio.CancelScope) -> None:
    await stop.asked()
    scope.cancel()


async def _watch_the_disk(journal: Journal) -> None:
    while True:
        await trio.sleep(PATIENCE_SECONDS)
        if journal.failing:
            raise JournalFull(f"The journal cannot write, so the gateway does not start: {journal.failing}. Make room.")
