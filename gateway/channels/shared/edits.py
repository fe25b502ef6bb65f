"""Show a reply while it is written, on a platform that can edit: post the beginning, then replace it, paced.

The first piece is posted, what follows replaces it at most once a second, the last edit is complete. A text
that outgrows one message goes on in another. When the model breaks off, the reader is told so. The
platform's "slower" is obeyed; an edit that fails is made good by the next, and the last one is tried
until the caller's patience ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from io import StringIO
from typing import Protocol

import trio

from gateway.errors import ModelError
from gateway.message.chunking import Unit, chunk
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt

Post = Callable[[str], Awaitable[Receipt]]
"""Posts a text as a new message; `Delivered.remote_id` is what edits name it by."""


class Edit(Protocol):
    """Replaces the text of a message of ours."""

    async def __call__(self, remote_id: str, text: str) -> Receipt: ...


# One edit a second is what the strictest of the platforms (Slack, Telegram, Matrix) take for long.
EVERY_SECONDS = 1.0
# A reader who saw the beginning should see the end: this often, with the pauses the platform asks for.
_LAST_TRIES = 5
# What must wait for longer is left to the outbox: a stream holds a place at the model, and its conversation.
_LONGEST_PAUSE_SECONDS = 5.0
# To say of a reply that it goes no further: one edit.
_FAREWELL_SECONDS = 2.0
_CUT = " […]"
WRITING = " …"


async def stream_by_edits(
    pieces: AsyncIterator[str],
    post: Post,
    edit: Edit,
    *,
    limit: int = 0,
    unit: Unit = "points",
    every_seconds: float = EVERY_SECONDS,
    cut: Callable[[str], tuple[str, ...]] | None = None,
) -> Receipt:
    """Implement `ports.Streaming.stream` over two calls. Raises the `ModelError` that ended the pieces early.

    A receipt other than `Delivered` means that the outbox must send the whole reply itself. `cut` replaces the usual
    cutting to `limit`.
    """
    shown = _Shown(post, edit, cut or (lambda text: chunk(text, limit, unit)))
    heard = _Heard()
    receipt: Receipt = Bounced("The model said nothing.")
    over = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heard.listen, pieces)
            await _follow(heard, shown, every_seconds)
        if heard.broke is None or shown.begun:
            receipt = await shown.finish(heard.text, "" if heard.broke is None else _CUT)
        over = True
    finally:
        if not over:  # it took too long, the gateway stops, or a person said so: nobody shall wait for the rest
            with trio.move_on_after(_FAREWELL_SECONDS, shield=True):
                await shown.leave(heard.text, "" if heard.whole else _CUT)
    if heard.broke is not None:
        raise heard.broke
    return receipt


async def _follow(heard: _Heard, shown: _Shown, every_seconds: float) -> None:
    while not heard.ended:
        await heard.news()
        if heard.ended:
            break
        pause = await shown.show(heard.text, WRITING)
        with trio.move_on_after(max(every_seconds, pause)):
            await heard.end.wait()


class _Heard:
    """What the model has said so far."""

    def __init__(self) -> None:
        self._said = StringIO()  # a str that grows by a piece is copied with each of them
        self._begun = False
        self.whole = False
        self.broke: ModelError | None = None
        self.end = trio.Event()
        self._more = trio.Event()

    @property
    def text(self) -> str:
        return self._said.getvalue()

    @property
    def ended(self) -> bool:
        return self.end.is_set()

    async def listen(self, pieces: AsyncIterator[str]) -> None:
        try:
            async for piece in pieces:
                self._said.write(piece)
                self._begun = self._begun or bool(piece.strip())
                if self._begun:
                    self._more.set()
            self.whole = True
        except ModelError as error:
            self.broke = error
        finally:
            self.end.set()
            self._more.set()

    async def news(self) -> None:
        await self._more.wait()
        if not self.ended:
            self._more = trio.Event()


class _Shown:
    """What stands on the platform: the ids of our messages and their texts."""

    def __init__(self, post: Post, edit: Edit, cut: Callable[[str], tuple[str, ...]]) -> None:
        self._post, self._edit, self._cut = post, edit, cut
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._first: Receipt = Bounced("The model said nothing.")
        self._over = False  # a post was refused for good, or nobody knows: another one could repeat it

    @property
    def begun(self) -> bool:
        return bool(self._ids)

    async def show(self, text: str, ending: str) -> float:
        """Bring the platform up to date; returns how long it wants to be left alone."""
        receipt = await self._update(text, ending)
        return (receipt.after_seconds or 0.0) if isinstance(receipt, Deferred) else 0.0

    async def finish(self, text: str, ending: str) -> Receipt:
        """Write the whole text; tried again while the platform only asks for time."""
        receipt: Receipt = self._first
        for _ in range(_LAST_TRIES):
            receipt = await self._update(text, ending)
            if not isinstance(receipt, Deferred) or receipt.offline or not self.begun:
                break
            pause = receipt.after_seconds or EVERY_SECONDS
            if pause > _LONGEST_PAUSE_SECONDS:
                break
            await trio.sleep(pause)
        return Delivered(self._ids[0]) if isinstance(receipt, Delivered) and self._ids else receipt

    async def leave(self, text: str, ending: str) -> None:
        """Put an ending to what stands there last, and show nothing more."""
        texts, last = self._cut(text), len(self._ids) - 1
        if 0 <= last < len(texts):
            await self._put(last, self._ended(texts[last], ending))

    async def _update(self, text: str, ending: str) -> Receipt:
        texts = [*self._cut(text)]
        texts[-1] = self._ended(texts[-1], ending)
        if self._over:
            return self._first
        receipt: Receipt = Delivered(self._ids[0]) if self._ids else self._first
        for index, piece in enumerate(texts):
            if not piece.strip() or (index < len(self._texts) and self._texts[index] == piece):
                continue
            receipt = await self._put(index, piece)
            if not isinstance(receipt, Delivered):
                return receipt
        return receipt

    def _ended(self, piece: str, ending: str) -> str:
        return piece + ending if len(self._cut(piece + ending)) == 1 else piece

    async def _put(self, index: int, piece: str) -> Receipt:
        if index < len(self._ids):
            receipt = await self._edit(self._ids[index], piece)
            if isinstance(receipt, Delivered):
                self._texts[index] = piece
            return receipt
        receipt = await self._post(piece)
        if isinstance(receipt, Delivered):
            self._ids.append(receipt.remote_id)
            self._texts.append(piece)
        elif not isinstance(receipt, Deferred):
            self._over, self._first = True, receipt
        return receipt
