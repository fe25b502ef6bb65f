"""A bounded queue of outbound messages, for producers that must not wait.

Whoever produces replies for a connection calls `offer`; when the peer reads so slowly that the
queue is full, `offer` says so and the connection is closed with 1013: the client reconnects and
resumes, instead of one slow reader holding everybody's replies in memory.
"""

from __future__ import annotations

from math import inf

import trio

from protocols.errors import WebSocketClosed
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.machine import TRY_AGAIN_LATER


class SendQueue:
    """Start `run` in a nursery beside the receiving task; it returns when the connection is over."""

    def __init__(self, connection: WebSocketConnection, *, messages: int, send_seconds: float = 15.0) -> None:
        self._connection = connection
        self._send_seconds = send_seconds
        self._entrance, self._exit = trio.open_memory_channel[str | bytes](messages)
        self._patience = trio.CancelScope()
        self.overflowed = False

    def offer(self, message: str | bytes) -> bool:
        """Queue a message; False when the queue is full or over, and then the connection is being closed."""
        if self.overflowed:
            return False
        try:
            self._entrance.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._overflow()
            return False
        return True

    def end(self) -> None:
        """Nothing more will be offered: `run` sends what is queued and returns."""
        self._entrance.close()

    async def run(self) -> None:
        """Send in order. Closes the connection with 1013 when the peer does not keep up."""
        try:
            with self._patience, self._exit:
                async for message in self._exit:
                    self._patience.deadline = trio.current_time() + self._send_seconds
                    await self._connection.send(message)
                    self._patience.deadline = inf
        except WebSocketClosed:
            # The receiving task hears of it too and decides what follows.
            return
        if self._patience.cancelled_caught:
            self.overflowed = True
            await self._connection.close(TRY_AGAIN_LATER, "reading too slowly")

    def _overflow(self) -> None:
        self.overflowed = True
        self._patience.cancel()
