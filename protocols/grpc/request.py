"""The sending half of a caller's call: open the stream, send, and begin again if the server refused it unseen.

A refused stream (REFUSED_STREAM, or above the id of a GOAWAY) was never looked at, so sending it once more cannot do
anything twice (grpc/proposal A6, transparent retry). Servers refuse for a moment while they tidy up finished calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from protocols.grpc.errors import CallMisused
from protocols.grpc.status import error_for_reset
from protocols.http2.connection import Connection
from protocols.http2.errors import Http2Error, StreamRefused, StreamReset
from protocols.http2.events import Headers
from protocols.http2.stream import Stream

# What is kept to be sent again. A request that is larger is not retried: memory counts more than a rare refusal.
REPLAY_BYTES = 64 * 1024
# 5 ms, doubled each time: about 1.3 s in all, and the call's own deadline ends it sooner.
REFUSALS = 8
FIRST_PAUSE_SECONDS = 0.005


class Opener(Protocol):
    """What a request needs from its channel."""

    async def open_stream(self, path: str, headers: Headers, *, end: bool) -> tuple[Connection, Stream]: ...


class Request:
    """Nothing is sent before `open`. Every method raises GRPCError for what went wrong with the stream."""

    __slots__ = (
        "_beginning", "_channel", "_connection", "_headers", "_path", "_refusals", "_replay", "_stream", "ended",
    )  # fmt: skip

    def __init__(self, channel: Opener, path: str, headers: Callable[[], Headers]) -> None:
        """`headers` is asked at each attempt, since the time that is left differs."""
        self._channel = channel
        self._path = path
        self._headers = headers
        self._connection: Connection | None = None
        self._stream: Stream | None = None
        self._replay: bytearray | None = bytearray()
        # While the request begins again.
        self._beginning: trio.Event | None = None
        self._refusals = 0
        self.ended = False

    @property
    def stream(self) -> Stream | None:
        """The stream of the current attempt; final once response headers have arrived."""
        return self._stream

    def opened(self) -> Stream:
        if self._stream is None:
            raise CallMisused("The request was not sent yet.")
        return self._stream

    async def open(self, *, end: bool = False) -> None:
        self._connection, self._stream = await self._channel.open_stream(self._path, self._headers(), end=end)
        self.ended = end

    async def send(self, packed: bytes) -> None:
        """Queue one message, after waiting for room."""
        with as_grpc_error():
            while True:
                stream = self.opened()
                try:
                    await stream.send(packed)
                    break
                except StreamRefused:
                    if not self._may_repeat():
                        raise
                await self._begin_again(stream)
        self._remember(packed)

    def end(self) -> None:
        self.ended = True
        self.opened().end()

    async def response_headers(self) -> Headers:
        """Wait for the server to answer."""
        with as_grpc_error():
            while True:
                stream = self.opened()
                try:
                    headers = await stream.receive_headers()
                    break
                except StreamRefused:
                    if not self._may_repeat():
                        raise
                await self._begin_again(stream)
        self._replay = None
        return headers

    def release(self) -> None:
        """Reset what is left of the stream and free its slot."""
        if self._connection is not None and self._stream is not None:
            self._connection.release(self._stream)

    def _remember(self, packed: bytes) -> None:
        if self._replay is not None:
            if len(self._replay) + len(packed) > REPLAY_BYTES:
                self._replay = None
            else:
                self._replay += packed

    def _may_repeat(self) -> bool:
        return self._replay is not None and self._refusals < REFUSALS

    async def _begin_again(self, refused: Stream) -> None:
        """Open another stream for this one, unless whoever else uses it has: one task may send and another receive."""
        if self._beginning is not None:
            await self._beginning.wait()
        elif self._stream is refused:
            self._beginning = beginning = trio.Event()
            try:
                await self._open_another()
            finally:
                self._beginning = None
                beginning.set()

    async def _open_another(self) -> None:
        self.release()
        await trio.sleep(FIRST_PAUSE_SECONDS * 2**self._refusals)
        self._refusals += 1
        # Meanwhile the other task may have ended the request, which nobody has told the new stream then.
        bare = self.ended and not self._replay
        self._connection, self._stream = await self._channel.open_stream(self._path, self._headers(), end=bare)
        if self._replay:
            await self._stream.send(bytes(self._replay))
        if self.ended and not bare:
            self._stream.end()


@contextmanager
def as_grpc_error() -> Iterator[None]:
    """A stream's fault, as the status it stands for."""
    try:
        yield
    except StreamReset as error:
        raise error_for_reset(error.code) from error
    except Http2Error as error:
        raise GRPCError(Status.UNAVAILABLE, str(error)) from error
