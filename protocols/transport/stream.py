"""A pipe as a Trio stream: what WebSocket and gRPC drivers get, and what the client waits on."""

from __future__ import annotations

from collections.abc import Callable

import trio

from protocols.transport.pipes import READ_BYTES, Pipe
from protocols.transport.watch import Watch

_FAREWELL_SECONDS = 1.0


class PipeStream(trio.abc.HalfCloseableStream):
    """One task may send while another receives. Closing twice is harmless.

    Instead of a task a watch may read it: `join`, and `receive_now` in the waker.
    `tail` are bytes that were read before the stream was made; they are received first.
    `on_close` is called once, when the socket is closed.
    """

    def __init__(self, pipe: Pipe, *, tail: bytes = b"", on_close: Callable[[], None] | None = None) -> None:
        self.pipe = pipe
        self._tail = tail
        self._on_close = on_close
        self._closed = False
        self._sending = False
        self._watch: Watch | None = None

    @property
    def alpn(self) -> str:
        return self.pipe.alpn

    @property
    def secure(self) -> bool:
        return self.pipe.secure

    @property
    def closed(self) -> bool:
        return self._closed

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. Cancelled midway, an unknown part is sent and the stream is finished."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._enter_sending()
        try:
            self.pipe.write(bytes(data))
            if not self.pipe.unsent:
                await trio.lowlevel.cancel_shielded_checkpoint()
            await self._flush()
        except OSError as error:
            raise self._broken() from error
        finally:
            self._sending = False

    def send_now(self, data: bytes) -> None:
        """Send what fits without waiting, the rest before the next send; may raise BrokenResourceError."""
        if self._closed:
            raise trio.ClosedResourceError
        try:
            self.pipe.write(data)
        except OSError as error:
            raise self._broken() from error

    async def flush(self) -> None:
        """Wait until everything that `send_now` kept is sent. May raise BrokenResourceError."""
        self._enter_sending()
        try:
            await self._flush()
        except OSError as error:
            raise self._broken() from error
        finally:
            self._sending = False

    async def wait_send_all_might_not_block(self) -> None:
        self._enter_sending()
        try:
            await trio.lowlevel.wait_writable(self.pipe.socket)
        finally:
            self._sending = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return some bytes, b"" at the end. More than `max_bytes` are kept for the next call."""
        if self._closed:
            raise trio.ClosedResourceError
        data = self._tail
        if data:
            self._tail = b""
            await trio.lowlevel.checkpoint()
        else:
            data = await self._receive()
        most = max_bytes or READ_BYTES
        if len(data) > most:
            data, self._tail = data[:most], data[most:] + self._tail
        return data

    def receive_now(self, most_bytes: int) -> bytes | None:
        """Return what is there without waiting, about `most_bytes` at most; None for nothing yet, b"" at the end.

        What was read before there was a stream comes whole. May raise BrokenResourceError.
        """
        if self._tail:
            data, self._tail = self._tail, b""
            return data
        try:
            return self.pipe.receive(most_bytes)
        except OSError as error:
            raise self._broken() from error

    def join(self, watch: Watch, waker: Callable[[int], object]) -> None:
        """Let a watch call `waker` while there is something to receive, until `leave` or the end of the stream."""
        watch.add(self.pipe.socket.fileno(), waker)
        self._watch = watch

    def leave(self) -> None:
        """Be watched no longer. Harmless when nobody does."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.remove(self.pipe.socket.fileno())

    async def _receive(self) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            data = self.pipe.receive()
            if data is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return data
            while data is None:
                await trio.lowlevel.wait_readable(self.pipe.socket)
                data = self.pipe.receive()
        except OSError as error:
            raise self._broken() from error
        return data

    async def send_eof(self) -> None:
        self._enter_sending()
        try:
            await self._flush()
            self.pipe.finish()
            await trio.lowlevel.checkpoint()
        except OSError as error:
            raise self._broken() from error
        finally:
            self._sending = False

    async def aclose(self) -> None:
        """Say farewell if the socket takes it at once, within a second, and close."""
        if self._closed:
            return
        try:
            with trio.move_on_after(_FAREWELL_SECONDS, shield=True):
                await self._flush()
            self.pipe.finish()
        except OSError:
            # The peer is gone already: nobody is left to say farewell to.
            pass
        finally:
            self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Close at once, without a farewell. Not a checkpoint; never raises."""
        if self._closed:
            return
        self._closed = True
        self.leave()
        trio.lowlevel.notify_closing(self.pipe.socket)
        self.pipe.close()
        if self._on_close is not None:
            self._on_close()

    async def _flush(self) -> None:
        while self.pipe.unsent:
            await trio.lowlevel.wait_writable(self.pipe.socket)
            self.pipe.flush()

    def _enter_sending(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True

    def _broken(self) -> Exception:
        return trio.ClosedResourceError() if self._closed else trio.BrokenResourceError()
