"""A silent peer is asked before it is taken for gone."""

from __future__ import annotations

from typing import Any, cast

import trio
import trio.testing

from protocols.errors import WebSocketClosed
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.keepalive import keep_alive


class Peer:
    """What is watched of a connection. `answers`: every ping brings a sign of life, half a second later."""

    def __init__(self, nursery: trio.Nursery, *, answers: bool) -> None:
        self._nursery, self._answers = nursery, answers
        self.heard_at = trio.current_time()
        self.closed: WebSocketClosed | None = None
        self.pings: list[float] = []

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()
        self.pings.append(trio.current_time())
        if self._answers:
            self._nursery.start_soon(self._answer)

    def abort(self) -> None:
        self.closed = WebSocketClosed(1006, "silent")

    async def _answer(self) -> None:
        await trio.sleep(0.5)
        self.heard_at = trio.current_time()


def watch(peer: Peer, nursery: trio.Nursery) -> None:
    async def watched() -> None:
        await keep_alive(cast(WebSocketConnection, peer), every_seconds=20.0)

    nursery.start_soon(watched)


async def test_a_peer_that_answers_is_never_left_however_late_the_loop_wakes(mock_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        peer = Peer(nursery, answers=True)
        watch(peer, nursery)
        # Asked at 20, heard at 20.5; the loop wakes a little late at 40.2 and at 60.8.
        for seconds in (20.0, 0.5, 19.7, 20.6, 0.5, 19.0):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(seconds)
        await trio.testing.wait_all_tasks_blocked()
        assert peer.closed is None and len(peer.pings) == 2
        nursery.cancel_scope.cancel()


async def test_a_peer_that_is_gone_is_asked_once_and_left_after_two_silent_intervals(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        peer = Peer(nursery, answers=False)
        began = trio.current_time()
        watch(peer, nursery)
    assert peer.closed is not None
    assert ([at - began for at in peer.pings], trio.current_time() - began) == ([20.0], 40.0)
