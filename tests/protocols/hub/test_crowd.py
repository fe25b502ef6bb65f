"""Who is called when: nobody waits for ever behind somebody whose reading takes long."""

from __future__ import annotations

import socket
from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from protocols.hub.crowd import Crowd
from protocols.hub.rota import FEW, SLICE_SECONDS
from protocols.transport.watch import open_watch


@pytest.mark.parametrize("count", [2, 5, FEW])
async def test_one_that_fills_every_slice_keeps_no_other_from_being_read(count: int, mock_clock: MockClock) -> None:
    calls = Counter(dict.fromkeys(range(count), 0))
    apart = []

    def called(number: int) -> None:
        calls[number] += 1
        apart.append(max(calls.values()) - min(calls.values()))
        if number % 2 == 0:  # every other one takes the whole slice
            mock_clock.jump(SLICE_SECONDS)

    async with open_watch() as watch:
        crowd = Crowd(watch, lambda: False)
        crowd.open()
        pairs = [socket.socketpair() for _ in range(count)]
        for number, (ours, theirs) in enumerate(pairs):
            theirs.send(b"always something to read")
            crowd.add(ours.fileno(), lambda _events, number=number: called(number))  # type: ignore[misc]
        while sum(calls.values()) < 20 * count:
            await trio.lowlevel.checkpoint()
        assert max(apart) == 1  # however long it goes on, they take turns
        for ours, theirs in pairs:
            crowd.remove(ours.fileno())
            ours.close()
            theirs.close()
        crowd.close()
