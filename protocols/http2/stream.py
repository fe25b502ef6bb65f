"""One HTTP/2 stream as a task sees it: headers, body chunks, an end, perhaps a fault.

The connection's reader fills it, one task reads from it, one writes to it. Bytes count as consumed, and may
be replaced by the peer, when `receive` returns them and not before.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import trio

from protocols.http2.errors import Http2Error
from protocols.http2.events import Headers
from protocols.http2.held import Held


class Carrier(Protocol):
    """What a stream needs from its connection. `held` counts what the peer makes us keep."""

    held: Held

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None: ...
    def send_body(self, stream_id: int, body: bytes) -> bool: ...
    def end(self, stream_id: int, trailers: Headers | None = None) -> None: ...
    def ended_by_us(self, stream_id: int) -> bool: ...
    def reset(self, stream_id: int, code: int) -> None: ...
    def consumed(self, stream_id: int, size: int) -> None: ...
    def flush(self) -> None: ...


# Bytes that come in smaller pieces are put together: a piece of one byte would cost a hundred.
SMALL_PIECE_BYTES = 4096


class Stream:
    """Made by a connection. `headers` are the request's on a server, the response's on a client."""

    __slots__ = (
        "_carrier",
        "_discards",
        "_inbox",
        "_readable",
        "_writable",
        "ended",
        "fault",
        "headers",
        "held",
        "id",
        "leaving",
        "scope",
        "trailers",
    )

    def __init__(self, carrier: Carrier, stream_id: int, headers: Headers | None = None) -> None:
        self._carrier = carrier
        self._inbox: deque[tuple[bytes, int]] = deque()
        self._discards = False
        self._readable = trio.lowlevel.ParkingLot()
        self._writable = trio.lowlevel.ParkingLot()
        self.id = stream_id
        #: Where its bytes count that arrived and are kept.
        self.held = carrier.held
        self.headers = headers
        self.trailers: Headers | None = None
        # Nobody works on it any more; its answer only waits for room to leave.
        self.leaving = False
        self.ended = False
        self.fault: Http2Error | None = None
        # Cancelled when the peer resets the stream, so that work nobody waits for stops.
        self.scope: trio.CancelScope | None = None

    async def receive_headers(self) -> Headers:
        """The response's headers; a checkpoint only while they are not there. Raises the stream's fault."""
        while self.headers is None:
            if self.fault is not None:
                raise self.fault
            await self._readable.park()
        return self.headers

    async def receive(self) -> bytes:
        """The next piece of the body, b"" at its end; a checkpoint only while there is none. Raises the
        fault.
        """
        while not self._inbox:
            if self.fault is not None:
                raise self.fault
            if self.ended:
                return b""
            await self._readable.park()
        body, size = self._inbox.popleft()
        self._give_back(size)
        return body

    def whole_body(self) -> bytes | None:
        """The body, if all of it has arrived in one piece and nothing was read; it stays to be received."""
        return self._inbox[0][0] if self.ended and len(self._inbox) == 1 and self.fault is None else None

    def discard(self) -> None:
        """Nothing more of the body is wanted: what comes is given back to the peer at once."""
        self._discards = True
        if size := self.unread_bytes():
            self._give_back(size)

    def charge(self, part: Held) -> bool:
        """Count what is kept of this stream in a part of where it counts so far; False, and as before, if too much."""
        if part.adopt(sum(size for _, size in self._inbox)):
            self.held = part
        return self.held is part

    def send_headers(self, headers: Headers, *, end: bool = False) -> None:
        self._carrier.send_headers(self.id, headers, end=end)

    async def send(self, body: bytes) -> None:
        """Queue body bytes; waits first while too many are unsent. Raises the stream's fault."""
        while self.fault is None and not self._carrier.send_body(self.id, body):
            await self._writable.park()
        if self.fault is not None:
            raise self.fault

    def send_now(self, body: bytes) -> bool:
        """Queue body bytes if there is room now, as always for a stream's first; False: nothing was queued."""
        return self.fault is None and self._carrier.send_body(self.id, body)

    def flush(self) -> None:
        """Let what is queued leave at once, if nothing is in its way."""
        self._carrier.flush()

    def end(self, trailers: Headers | None = None) -> None:
        """Nothing more will be sent; queued bytes go out before the trailers do."""
        self._carrier.end(self.id, trailers)

    async def sent(self) -> None:
        """Wait until everything up to our end is framed; a checkpoint only if it is not. Raises the fault."""
        while not self._carrier.ended_by_us(self.id):
            if self.fault is not None:
                raise self.fault
            await self._writable.park()

    def reset(self, code: int) -> None:
        self._carrier.reset(self.id, code)

    # -- filled in by the connection

    def put(self, body: bytes, size: int) -> None:
        inbox = self._inbox
        if self._discards:
            self._give_back(size)
        elif inbox and len(inbox[-1][0]) < SMALL_PIECE_BYTES:
            held, before = inbox[-1]
            inbox[-1] = (held + body, before + size)
        else:
            inbox.append((body, size))
            _wake(self._readable)

    def begin(self, headers: Headers) -> None:
        self.headers = headers
        _wake(self._readable)

    def finish(self) -> None:
        self.ended = True
        _wake(self._readable)

    def fail(self, fault: Http2Error) -> None:
        """The stream is broken: wake everyone, and stop the work behind it."""
        if self.fault is None:
            self.fault = fault
            _wake(self._readable)
            _wake(self._writable)
            if self.scope is not None:
                self.scope.cancel()

    def has_room(self) -> None:
        _wake(self._writable)

    def unread_bytes(self) -> int:
        """What arrived and was never received; the connection's window gets it back."""
        unread = sum(size for _, size in self._inbox)
        self._inbox.clear()
        return unread

    def _give_back(self, size: int) -> None:
        self.held.free(size)
        self._carrier.consumed(self.id, size)


def _wake(lot: trio.lowlevel.ParkingLot) -> None:
    # Asked first: mostly nobody waits, and unparking nobody costs a microsecond for every chunk.
    if lot:
        lot.unpark_all()
