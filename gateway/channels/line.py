"""What goes out to one client: a bounded queue, and the news of what its connection took.

Whoever has something to say never waits for a slow reader. When the queue is full the client is
sent away; it comes back and resumes, instead of holding everybody's replies in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Generic, TypeVar

import trio

from gateway.channels.rooms import Sent

F = TypeVar("F")
# 16 KiB a second at a high-water mark of 64 KiB takes 4 s; beyond 15 s nobody reads.
_SEND_SECONDS = 15.0


def _everything(_frame: object) -> bool:
    return True


class Line(Generic[F]):
    """One connection's outbound side; `run` is its writer, over `send`.

    `acks`: this client confirms replies itself. `wants` picks what it listens to.
    """

    def __init__(
        self,
        send: Callable[[F], Awaitable[None]],
        *,
        frames: int,
        acks: bool,
        wants: Callable[[F], bool] = _everything,
    ) -> None:
        self.acks, self.wants = acks, wants
        self._send = send
        self._entrance, self._exit = trio.open_memory_channel[tuple[F, Sent | None]](frames)
        self._patience = trio.CancelScope()

    def say(self, frame: F, sent: Sent | None = None) -> None:
        """Queue a frame; `sent` is called when the connection has taken it. A full queue ends `run`."""
        try:
            self._entrance.send_nowait((frame, sent))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._patience.cancel()

    def finish(self) -> None:
        """Nothing more will be said: `run` ends when what is queued has left."""
        self._entrance.close()

    async def run(self) -> bool:
        """Send in order; True when all is said, False when the client reads too slowly. Raises what `send` does."""
        with self._patience, self._exit:
            async for frame, sent in self._exit:
                self._patience.deadline = trio.current_time() + _SEND_SECONDS
                await self._send(frame)
                self._patience.deadline = inf
                if sent is not None:
                    sent()
        return not self._patience.cancelled_caught
