"""What goes out to one client: a bounded queue, and the news of what its connection took.

Whoever has something to say never waits for a slow reader. What the connection can take at once it gets at once;
the rest is queued for a writer. When the queue is full the client is sent away; it comes back and
resumes, instead of holding everybody's replies in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Generic, TypeVar

import trio

from gateway.channels.rooms import Sent

F = TypeVar("F")
# 16 KiB a second at a high-water mark of 64 KiB takes 4 s; beyond 15 s nobody reads.
_SEND_SECONDS = 15.0
# A connection with room never makes its writer wait; others have their turn after a millisecond.
_FRAMES_AT_ONCE = 32


def _everything(_frame: object) -> bool:
    return True


class Line(Generic[F]):
    """One connection's outbound side; `run` is its writer, over `send`.

    `at_once` sends a frame without waiting and says True, or leaves it alone. `acks`: this client confirms replies
    itself. `wants` picks what it listens to.
    """

    def __init__(
        self,
        send: Callable[[F], Awaitable[None]],
        *,
        frames: int,
        acks: bool,
        wants: Callable[[F], bool] = _everything,
        at_once: Callable[[F], bool] | None = None,
    ) -> None:
        self.acks, self.wants = acks, wants
        self._send, self._at_once, self._most = send, at_once, frames
        self._queue: deque[tuple[F, Sent | None]] = deque()
        self._writing = self._finished = False
        self._news = trio.lowlevel.ParkingLot()
        self._patience = trio.CancelScope()

    @property
    def prompt(self) -> bool:
        """Tell whether a frame could leave at once, as far as is known here: nothing waits before it."""
        return self._at_once is not None and not self._queue and not self._writing and not self._finished

    def say(self, frame: F, sent: Sent | None = None) -> None:
        """Send a frame or queue it; `sent` is called when the connection has taken it. A full queue ends `run`."""
        if self.prompt and self._leaves(frame):
            if sent is not None:
                sent()
        elif len(self._queue) >= self._most or self._finished:
            self._patience.cancel()
        else:
            self._queue.append((frame, sent))
            self._news.unpark()

    def finish(self) -> None:
        """Nothing more will be said: `run` ends when what is queued has left."""
        self._finished = True
        self._news.unpark()

    async def run(self) -> bool:
        """Send in order; True when all is said, False when the client reads too slowly. Raises what `send` does."""
        try:
            with self._patience:
                while self._queue or not self._finished:
                    if self._queue:
                        await self._write()
                    else:
                        await self._news.park()
        finally:
            self._finished = True
        return not self._patience.cancelled_caught

    async def _write(self) -> None:
        await trio.lowlevel.checkpoint()
        for _ in range(min(len(self._queue), _FRAMES_AT_ONCE)):
            frame, sent = self._queue.popleft()
            self._writing = True
            self._patience.deadline = trio.current_time() + _SEND_SECONDS
            await self._send(frame)
            self._patience.deadline = inf
            self._writing = False
            if sent is not None:
                sent()

    def _leaves(self, frame: F) -> bool:
        try:
            return self._at_once is not None and self._at_once(frame)
        except Exception:
            # Whoever speaks is not to blame: the writer meets the same fault, and the connection ends of it.
            return False
