"""What a program has yet to say over a connection that breaks: one thing at a time, again until it is acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count

import trio


class Unsaid:
    """Calls `say` with the id and the text of the first thing that nobody has acknowledged yet."""

    def __init__(self, say: Callable[[str, str], Awaitable[None]]) -> None:
        self._say = say
        self._queue: deque[tuple[str, str]] = deque()
        self._numbers = count(1)

    async def add(self, text: str) -> None:
        """Say this after everything else, at once if there is nothing else."""
        self._queue.append((f"m{next(self._numbers)}", text))
        if len(self._queue) == 1:
            await self.again()

    async def acknowledged(self, id: str) -> None:
        """Go on with the next, if this was the first; it may be acknowledged twice, for it may have been said twice."""
        if self._queue and self._queue[0][0] == id:
            self._queue.popleft()
            await self.again()

    async def again(self) -> None:
        """Say the first thing, over a new connection or after a refusal."""
        await trio.lowlevel.checkpoint()
        if self._queue:
            await self._say(*self._queue[0])

    async def later(self, seconds: float) -> None:
        """Say it again when whoever refused it said."""
        await trio.sleep(seconds)
        await self.again()
