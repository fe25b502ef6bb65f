"""Say a reply while it is written, to clients that hear each piece: what comes faster than one reads is said together.

A model that has its answer ready gives thousands of words at once. Each as a frame of its own would fill the queue
of a client that reads as fast as it can, and send it away as if it did not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable

import trio

# Thirty times a second is as smooth as writing looks; the first words are said at once.
EVERY_SECONDS = 0.033
# A page of text, and far below what clients take as one frame.
_ENOUGH_CHARACTERS = 4_096


async def say_in_gulps(pieces: AsyncIterator[str], say: Callable[[str], None]) -> None:
    """Call `say` with what has come, until all is said. What breaks the pieces off is raised plain, behind the rest."""
    heard = _Heard()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heard.listen, pieces)
        while text := await heard.next():
            say(text)
            with trio.move_on_after(EVERY_SECONDS):
                await heard.ended.wait()
    if heard.broke is not None:
        raise heard.broke


class _Heard:
    """What has come and is not said yet."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.broke: Exception | None = None
        self._fresh: deque[str] = deque()
        self._more = trio.Event()

    async def listen(self, pieces: AsyncIterator[str]) -> None:
        try:
            async for piece in pieces:
                if piece:
                    self._fresh.append(piece)
                    self._more.set()
                # Such a model never waits, and nobody else would have a turn.
                await trio.lowlevel.checkpoint()
        except Exception as error:
            self.broke = error
        self.ended.set()
        self._more.set()

    async def next(self) -> str:
        """Return what has come since, or enough of it, '' when nothing more will."""
        await self._more.wait()
        text = ""
        while self._fresh and len(text) < _ENOUGH_CHARACTERS:
            text += self._fresh.popleft()
        if not self._fresh and not self.ended.is_set():
            self._more = trio.Event()
        return text
