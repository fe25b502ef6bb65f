"""What goes out to one WebSocket client: a bounded queue, and the news of what the socket took.

Whoever has something to say never waits for a slow reader. When the queue is full the client is
sent away with 1013; it comes back and resumes, instead of holding everybody's replies in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from protocols.errors import WebSocketClosed
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.machine import TRY_AGAIN_LATER

# 16 KiB a second at the high-water mark of 64 KiB takes 4 s; beyond 15 s nobody reads.
_SEND_SECONDS = 15.0
Sent = Callable[[], None]


class Line:
    """One connection's outbound side; `run` is its writer. `acks`: this client confirms replies itself."""

    def __init__(self, connection: WebSocketConnection, *, frames: int, acks: bool) -> None:
        self.acks = acks
        self._connection = connection
        self._entrance, self._exit = trio.open_memory_channel[tuple[str, Sent | None]](frames)
        self._patience = trio.CancelScope()

    def say(self, frame: str, sent: Sent | None = None) -> None:
        """Queue a frame; `sent` is called when the socket has taken it. A full queue ends the connection."""
        try:
            self._entrance.send_nowait((frame, sent))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._patience.cancel()

    async def run(self) -> None:
        """Send in order until the connection is over."""
        try:
            with self._patience, self._exit:
                async for frame, sent in self._exit:
                    self._patience.deadline = trio.current_time() + _SEND_SECONDS
                    await self._connection.send(frame)
                    self._patience.deadline = inf
                    if sent is not None:
                        sent()
        except WebSocketClosed:
            return  # the reading task hears of it, too, and ends the conversation
        if self._patience.cancelled_caught:
            await self._connection.close(TRY_AGAIN_LATER, "reading too slowly")
