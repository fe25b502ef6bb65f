"""What a request yields: a whole answer, or one that is read while it arrives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from protocols.http1.headers import Headers
from protocols.http1.response_reader import ResponseReader
from protocols.sse import ServerSentEvent, SseDecoder


class HttpAnswer(msgspec.Struct, frozen=True):
    """A complete answer."""

    status: int
    headers: Headers
    body: bytes


class StreamedAnswer:
    """An answer whose body is read piece by piece: `async for piece in answer`.

    Nothing is read ahead: a server that sends faster than we take is slowed down by TCP.
    """

    __slots__ = ("_read_more", "_reader", "headers", "status")

    def __init__(self, reader: ResponseReader, read_more: Callable[[], Awaitable[None]]) -> None:
        self._reader = reader
        self._read_more = read_more
        self.status = reader.status
        self.headers = reader.headers

    def __aiter__(self) -> StreamedAnswer:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece as it arrived. Raises UnknownAfterSend when the answer breaks off."""
        while True:
            piece = self._reader.take()
            if piece:
                return piece
            if self._reader.finished:
                raise StopAsyncIteration
            await self._read_more()

    async def read(self) -> bytes:
        """Return the rest of the body, within the client's bound."""
        return b"".join([piece async for piece in self])

    def events(self) -> EventStream:
        """Read the body as server-sent events: `async for event in answer.events()`."""
        return EventStream(self)


class EventStream:
    """Server-sent events of one answer, in order."""

    __slots__ = ("_answer", "_decoder", "_ready")

    def __init__(self, answer: StreamedAnswer) -> None:
        self._answer = answer
        self._decoder = SseDecoder()
        self._ready: list[ServerSentEvent] = []

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ServerSentEvent:
        """Return the next event. An event that the end cuts off is dropped, as the standard demands.

        Raises AnswerTooLarge for one that is larger than any event should be.
        """
        while not self._ready:
            self._ready = self._decoder.feed(await anext(self._answer))
        return self._ready.pop(0)
