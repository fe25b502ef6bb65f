"""Rooms that talk to a daemon in trouble, and what a proof waits for meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import trio

from gateway.testing.proof import Scene
from gateway.testing.proof.life import Life
from gateway.testing.proof.rounds import finished
from gateway.testing.proof.sender import Sender

LOOK_SECONDS = 0.02
QUITE = 60.0  # what a starved machine needs; nothing here waits so long when all is well


@asynccontextmanager
async def talking(scene: Scene, life: Life, rooms: int = 10, pause: float = 0.02) -> AsyncIterator[Sender]:
    """Let rooms talk while the block runs; afterwards everything must have arrived, once and in order."""
    async with talking_to(scene, lambda: life.port, rooms, pause) as sender:
        yield sender


@asynccontextmanager
async def talking_to(
    scene: Scene, port: Callable[[], int], rooms: int = 10, pause: float = 0.02
) -> AsyncIterator[Sender]:
    """As `talking`, to whichever daemon listens at `port()` just then; 0 while there is none."""
    sender = Sender(scene.account, scene.secret, port, chance=Random(1))
    async with trio.open_nursery() as nursery:
        for number in range(rooms):
            nursery.start_soon(partial(sender.room, f"r{number}", pause=pause))
        yield sender
        sender.stopping.set()
        with trio.move_on_after(QUITE):  # each room ends with an acknowledgement, which a slow disk may keep for long
            while scene.account.accepted < scene.account.tally().sent:
                await trio.sleep(0.05)
        await finished(scene, QUITE)
        nursery.cancel_scope.cancel()
    tally = scene.account.tally()
    assert tally.kept and tally.accepted == tally.sent, tally


async def until(happened: Callable[[], object], seconds: float = QUITE) -> None:
    """Return when it has happened. Raises `trio.TooSlowError`.

    Counted in looks: a machine that stands still takes one of them, not all the time.
    """
    for _ in range(round(seconds / LOOK_SECONDS)):
        if happened():
            return
        await trio.sleep(LOOK_SECONDS)
    raise trio.TooSlowError


async def accepts_more(scene: Scene, count: int = 50) -> None:
    """Return when so many more messages were acknowledged."""
    goal = scene.account.accepted + count
    await until(lambda: scene.account.accepted >= goal)
