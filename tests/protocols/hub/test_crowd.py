"""Who is called when: nobody waits for ever behind somebody whose reading takes long."""

from __future__ import annotations

import socket
import time
from collections import Counter

import pytest
import trio

from protocols.hub.crowd import Crowd
from protocols.hub.rota import FEW, SLICE_SECONDS
from protocols.transport.watch import open_watch


@pytest.mark.parametrize("count", [2, 5, FEW])
async def test_one_that_fills_every_slice_keeps_no_other_from_being_read(count: int) -> None:
    calls: Counter[int] = Counter()

    def called(number: int) -> None:
        calls[number] += 1
        if number % 2 == 0:  # every other one takes the whole slice
            time.sleep(SLICE_SECONDS)

    async with open_watch() as watch:
        crowd = Crowd(watch, lambda: False)
        crowd.open()
        pairs = [socket.socketpair() for _ in range(count)]
        for number, (ours, theirs) in enumerate(pairs):
            theirs.send(b"always something to read")
            crowd.add(ours.fileno(), lambda _events, number=number: called(number))  # type: ignore[misc]
        with trio.move_on_after(60):
            while len(calls) < count or min(calls.values()) < 2:
                await trio.lowlevel.checkpoint()
        assert sorted(calls) == list(range(count))
        assert max(calls.values()) <= 3 * min(calls.values())
        for ours, theirs in pairs:
            crowd.remove(ours.fileno())
            ours.close()
            theirs.close()
        crowd.close()
