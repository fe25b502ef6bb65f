"""A WebSocket connection for any number of sending tasks and one receiving task.

Writing never interleaves: a frame goes into the socket's buffer whole, in one plain call, and
only then may its sender wait for a slow peer. That is why a cancelled `send` leaves the
connection usable, and why pongs need no task of their own.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import trio

from protocols.errors import WebSocketClosed
from protocols.transport.stream import PipeStream
from protocols.websocket.limits import WebSocketLimits
from protocols.websocket.machine import BROKEN, NO_STATUS, NORMAL, WebSocketMachine

# Bytes that are turned into frames before other tasks have a turn: 340 empty frames of 35 µs each at the most.
_SLICE_BYTES = 2048
_FAREWELLS = (NORMAL, 1001, NO_STATUS)


class WebSocketConnection:
    """Made by `accept_websocket` and `open_websocket`. `subprotocol` is "" when none was agreed on."""

    def __init__(
        self, stream: PipeStream, *, server: bool, subprotocol: str = "", limits: WebSocketLimits | None = None
    ) -> None:
        self._limits = limits or WebSocketLimits()
        self._stream = stream
        self._machine = WebSocketMachine(server=server, message_bytes=self._limits.message_bytes)
        self._messages: deque[str | bytes] = deque()
        self._flushing = False
        self._room = trio.lowlevel.ParkingLot()
        self._receiving = self._closing = False
        self._over = trio.Event()
        self._parting: trio.Event | None = None
        self.subprotocol = subprotocol
        # When the peer was last heard, for whoever watches over silent connections.
        self.heard_at = trio.current_time()

    @property
    def closed(self) -> WebSocketClosed | None:
        """Why the connection is over, None while it is not."""
        return self._machine.closed

    async def receive(self) -> str | bytes:
        """Return the next message. Raises WebSocketClosed when no more will come.

        Cancelling loses nothing. Pings are answered meanwhile.
        """
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving on this WebSocket connection")
        self._receiving = True
        try:
            if self._messages:
                await trio.lowlevel.checkpoint()
            while not self._messages:
                if self._closing:
                    # Another task says farewell and reads until the peer has answered.
                    await self._over.wait()
                await self._read()
            return self._messages.popleft()
        finally:
            self._receiving = False

    async def send(self, message: str | bytes) -> None:
        """Send one message; wait while the peer reads too slowly. Raises WebSocketClosed.

        The caller owns the deadline. Cancelled, the message is still sent whole or not at all.
        """
        self._machine.say(message)
        self._write()
        await self._drain()

    async def ping(self) -> None:
        """Send a ping; the answer shows in `heard_at`. Raises WebSocketClosed."""
        self._machine.ping()
        self._write()
        await self._drain()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say farewell, wait briefly for the peer's, and close. Never raises; closing twice, even at once, is harmless.

        What was received and not yet taken is gone: nothing that came behind it counts any more.
        """
        self._messages.clear()
        if self._stream.closed:
            await trio.lowlevel.checkpoint()
            return
        if self._parting is not None:
            # Who said farewell first reads until the peer has answered; two would take the bytes from each other.
            await self._parting.wait()
            return
        self._parting = trio.Event()
        try:
            with trio.move_on_after(self._limits.close_seconds):
                self._machine.close(code, reason)
                self._write()
                await self._until_peer_closes()
                await self._stream.send_eof()
                await self._until_end()
        except (WebSocketClosed, trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError):
            # Over already: there is nobody left to be polite to.
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the socket at once. What is receiving or sending gets WebSocketClosed."""
        self._machine.feed(b"")
        self._over.set()
        self._room.unpark_all()
        self._stream.abort()
        if self._parting is not None:
            self._parting.set()

    def __aiter__(self) -> WebSocketConnection:
        return self

    async def __anext__(self) -> str | bytes:
        """Return the next message; end on an orderly farewell, raise WebSocketClosed otherwise."""
        try:
            return await self.receive()
        except WebSocketClosed as closed:
            if closed.code in _FAREWELLS:
                raise StopAsyncIteration from None
            raise

    async def _read(self) -> None:
        """Wait for bytes and turn them into messages; raise WebSocketClosed at the end."""
        closed = self._machine.closed
        if closed is not None:
            raise WebSocketClosed(closed.code, closed.reason)
        try:
            piece = await self._stream.receive_some(_SLICE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            piece = b""
        if piece:
            self.heard_at = trio.current_time()
        self._messages.extend(self._machine.feed(piece))
        if self._machine.outgoing:
            self._write()
            # What has arrived counts, though no answer can be sent any more; the next read tells of the end.
            with suppress(WebSocketClosed):
                await self._drain()
        if self._machine.closed is not None:
            self._over.set()

    async def _until_peer_closes(self) -> None:
        await self._drain()
        if self._receiving:
            await self._over.wait()
            return
        self._closing = True
        while self._machine.closed is None:
            await self._read()
            self._messages.clear()

    async def _until_end(self) -> None:
        """Read on: closing with unread bytes in the socket would reset it and eat our close frame."""
        while (self._closing or not self._receiving) and await self._stream.receive_some():
            pass

    def _write(self) -> None:
        piece, self._machine.outgoing = self._machine.outgoing, b""
        if not piece:
            return
        try:
            self._stream.send_now(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._machine.feed(b"")
            self._over.set()

    async def _drain(self) -> None:
        """Send what is left; with another task already at it, wait only above the high-water mark."""
        unsent = self._stream.pipe.unsent
        if not unsent:
            await trio.lowlevel.checkpoint()
            return
        if not self._flushing:
            await self._flush()
            return
        while len(unsent) > self._limits.high_water_bytes and self._machine.closed is None:
            await self._room.park()

    async def _flush(self) -> None:
        self._flushing = True
        try:
            await self._stream.flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._machine.feed(b"")
            raise WebSocketClosed(BROKEN, "the connection broke") from None
        finally:
            self._flushing = False
            self._room.unpark_all()
