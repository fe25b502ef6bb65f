"""One request over one connection: send, and wait for the head of the answer.

The usual request fits into the socket at once and takes a single wait. Only a large or
streamed body gets a task of its own, because a server may answer (413) before it has read all.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

import msgspec
import trio

from protocols.errors import NothingSent, UnknownAfterSend
from protocols.http1.chunked import LAST_CHUNK, encode_chunk
from protocols.http1.response_reader import ResponseReader
from protocols.transport.pipes import Pipe

# Bodies up to this go out in one piece with their head; larger ones would be copied for nothing.
_ONE_PIECE_BYTES = 64 * 1024


class Sized(msgspec.Struct, frozen=True):
    """A streamed body whose length is known before: for servers that take no chunks. It must keep its word."""

    pieces: AsyncIterable[bytes]
    length: int


Body = bytes | AsyncIterable[bytes] | Sized


class Outgoing:
    """A request ready to be sent, and how far it got."""

    __slots__ = ("body", "complete", "head", "on_send", "started")

    def __init__(self, head: bytes, body: Body, on_send: Callable[[], object] | None) -> None:
        self.head = head
        self.body = body
        self.on_send = on_send
        self.started = False
        self.complete = False

    @property
    def is_repeatable(self) -> bool:
        """A streamed body can be read only once."""
        return isinstance(self.body, bytes) or not self.started


async def transact(pipe: Pipe, outgoing: Outgoing, reader: ResponseReader) -> None:
    """Send the request and read until the answer's status is known.

    Raises NothingSent when the connection took no byte, UnknownAfterSend after that, or what the
    body's own iterator raises.
    """
    if outgoing.on_send is not None:
        outgoing.on_send()
    body = outgoing.body
    if isinstance(body, bytes) and len(body) <= _ONE_PIECE_BYTES:
        _send_first(pipe, outgoing.head + body)
        if not pipe.unsent:
            outgoing.complete = True
            await _until_status(pipe, reader)
            return
        body = b""
    else:
        _send_first(pipe, outgoing.head)
    await _send_and_receive(pipe, outgoing, body, reader)


async def receive_more(pipe: Pipe, reader: ResponseReader) -> None:
    """Wait for bytes of the answer and feed them; raises UnknownAfterSend when there are no more."""
    try:
        await trio.lowlevel.wait_readable(pipe.socket)
        piece = pipe.receive()
    except OSError as error:
        raise UnknownAfterSend(f"The connection broke before the answer was complete: {error}.") from error
    if piece is not None:
        reader.feed(piece)


async def _until_status(pipe: Pipe, reader: ResponseReader) -> None:
    while not reader.status:
        await receive_more(pipe, reader)


def _send_first(pipe: Pipe, piece: bytes) -> None:
    try:
        pipe.write(piece)
    except OSError as error:
        raise NothingSent(f"The connection was closed before the request was sent: {error}.") from error


async def _send_and_receive(pipe: Pipe, outgoing: Outgoing, body: Body, reader: ResponseReader) -> None:
    failure: list[Exception] = []

    async def send(scope: trio.CancelScope) -> None:
        try:
            await _send_rest(pipe, outgoing, body)
        except OSError:
            # The server stopped reading: it may have answered already, and reading will tell.
            pass
        except Exception as error:
            failure.append(error)
            scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, nursery.cancel_scope)
        try:
            await _until_status(pipe, reader)
        except UnknownAfterSend as error:
            failure.append(error)
        nursery.cancel_scope.cancel()
    if failure:
        raise failure[0]


async def _send_rest(pipe: Pipe, outgoing: Outgoing, body: Body) -> None:
    if isinstance(body, bytes):
        if body:
            pipe.write(body)
        await _flush(pipe)
        outgoing.complete = True
        return
    outgoing.started = True
    if isinstance(body, Sized):
        await _send_sized(pipe, body)
    else:
        async for piece in body:
            if piece:
                pipe.write(encode_chunk(piece))
                await _flush(pipe)
        pipe.write(LAST_CHUNK)
        await _flush(pipe)
    outgoing.complete = True


async def _send_sized(pipe: Pipe, body: Sized) -> None:
    left = body.length
    async for piece in body.pieces:
        left -= len(piece)
        if left < 0:
            break
        pipe.write(piece)
        await _flush(pipe)
    if left:
        raise UnknownAfterSend(f"The body was announced with {body.length} bytes and has another length.")


async def _flush(pipe: Pipe) -> None:
    while pipe.unsent:
        await trio.lowlevel.wait_writable(pipe.socket)
        pipe.flush()
