"""Drive one connection core over a byte stream: a reader, a writer, a watch, and a task per request.

Reading is in `reading.py`, writing in `writing.py`. Faults of a stream stay in the stream; faults of the connection
fail every stream and end `run`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

from protocols.http2.errors import ConnectionLost, Http2Error, PeerBrokeRules, StreamRefused, StreamReset
from protocols.http2.events import (
    Answered,
    Chunk,
    Ended,
    Event,
    GoneAway,
    Headers,
    Opened,
    Ponged,
    SettingsArrived,
    Trailed,
    WasReset,
)
from protocols.http2.frames import HIGHEST_STREAM_ID, ErrorCode
from protocols.http2.held import Held
from protocols.http2.limits import Limits
from protocols.http2.machine import Machine
from protocols.http2.reading import read
from protocols.http2.stream import Stream
from protocols.http2.writing import Writer
from protocols.transport.stream import PipeStream

KEEPALIVE_PING = b"\x00still?\x00"

Answer = Callable[[Stream], Awaitable[None]]
AtOnce = Callable[[Stream, Callable[[], None]], bool]


class Connection:
    """One side of one connection. `run` it once; the other methods work while it runs."""

    def __init__(
        self,
        transport: trio.abc.Stream,
        limits: Limits,
        *,
        answer: Answer | None,
        at_once: AtOnce | None = None,
        draining: trio.Event | None = None,
        held: Held | None = None,
    ) -> None:
        """With `answer` a server, which gets each request's stream in a task of its own; without, a client.
        `at_once` is asked first about a request that is all there; when it says True, the request needs no task. It
        also gets a function to call when it has ended its side: the stream is released when its answer is framed.
        `held` may be a part of what bounds the memory of many connections together.
        """
        self._transport = transport
        self._limits = limits
        self._machine = Machine(client=answer is None, limits=limits)
        self._answer = answer
        self._at_once = at_once
        # Requests whose headers came with the last bytes.
        self._fresh: list[Stream] = []
        self._draining = draining
        self.held = held or Held(limits.held_bytes)
        self._streams: dict[int, Stream] = {}
        self._writer = Writer(transport, self._machine, self._has_room)
        self._wake = self._writer.wake
        self.flush = self._writer.flush
        self._slots = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()
        self._heard_at = 0.0
        self._closing = self._lingers = False
        self._hung_up = trio.Event()
        self._settings = trio.Event()
        self._fault: Http2Error | None = None
        self._last_usable = HIGHEST_STREAM_ID
        # Why the connection ended, for whoever reports it; None when the peer just left.
        self.ended_because: PeerBrokeRules | None = None

    async def run(self, already_read: bytes = b"") -> None:
        """Serve until the peer leaves, the drain is done, or a rule is broken; closes the transport."""
        self._heard_at = trio.current_time()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch)
                    if self._draining is not None:
                        nursery.start_soon(self._drain_when, self._draining)
                    # Afterwards the writer still has the GOAWAY to say; it ends the scope when that has left.
                    await self._read(already_read, nursery)
        finally:
            self._lose(ConnectionLost("The connection was closed while the stream was open."))
            await trio.aclose_forcefully(self._transport)

    # -- for clients

    @property
    def usable(self) -> bool:
        """True while new streams may be opened."""
        return self._fault is None and not self._closing and self._last_usable == HIGHEST_STREAM_ID

    async def established(self) -> None:
        """Wait for the peer's SETTINGS: only then is it known to speak HTTP/2 and how much it allows."""
        await self._settings.wait()
        if self._fault is not None:
            raise self._fault

    async def open(self, headers: Headers, *, end: bool = False) -> Stream:
        """Open a stream, after waiting for a free slot. Raises ConnectionLost or StreamRefused."""
        while self.usable and len(self._streams) >= self._machine.peer_max_streams:
            await self._slots.park()
        if not self.usable:
            raise self._fault or StreamRefused("The connection takes no new streams; open another.")
        stream_id = self._machine.open(headers, end=end)
        stream = self._streams[stream_id] = Stream(self, stream_id)
        self._wake()
        return stream

    def release(self, stream: Stream) -> None:
        """The caller is done with the stream: reset what is left of it and free its slot."""
        if self._streams.pop(stream.id, None) is None:
            return
        if not (stream.ended and self._machine.ended_by_us(stream.id)):
            self._machine.reset(stream.id, ErrorCode.NO_ERROR if self._answer else ErrorCode.CANCEL)
        unread = stream.unread_bytes()
        stream.held.free(unread)
        self._machine.release(stream.id, unread)
        self._slots.unpark()
        self._wake()
        self._close_when_idle()

    def _let_go(self, stream: Stream) -> None:
        """Release a stream as soon as its answer is framed: at once, unless the peer has closed a window."""
        if stream.fault is not None or self._machine.ended_by_us(stream.id):
            self.release(stream)
        else:
            stream.leaving = True
            stream.discard()

    def close(self) -> None:
        """Take no new streams and end when the running ones have."""
        self._last_usable = 0
        self._slots.unpark_all()
        self._close_when_idle()

    # -- what streams use

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        self._machine.send_headers(stream_id, headers, end=end)
        self._wake()

    def send_body(self, stream_id: int, body: bytes) -> bool:
        """False when the sender must wait for room first."""
        taken = self._machine.send_body(stream_id, body)
        self._wake()
        return taken

    def end(self, stream_id: int, trailers: Headers | None = None) -> None:
        self._machine.end(stream_id, trailers)
        self._wake()

    def ended_by_us(self, stream_id: int) -> bool:
        return self._machine.ended_by_us(stream_id)

    def reset(self, stream_id: int, code: int) -> None:
        self._machine.reset(stream_id, code)
        self._wake()

    def consumed(self, stream_id: int, size: int) -> None:
        if self._machine.consumed(stream_id, size):
            self._wake()

    # -- the tasks

    async def _read(self, already_read: bytes, nursery: trio.Nursery) -> None:
        take = partial(self._take_in, nursery)
        if not already_read or take(already_read):
            await read(self._transport, take)
        self._hung_up.set()
        self._stop()

    def _take_in(self, nursery: trio.Nursery, wire: bytes) -> bool:
        """Do what has arrived; False when nothing more is to be read."""
        now = self._heard_at = trio.current_time()
        if self._closing:
            # All is said; what can be learned from it is that somebody still reads.
            if self._lingers:
                self._scope.deadline = now + self._limits.linger_seconds
            return True
        try:
            events = self._machine.receive(wire, now)
        except PeerBrokeRules as error:
            self.ended_because = error
            return False
        for event in events:
            self._dispatch(event)
        if self._fresh:
            self._begin(nursery)
        self._wake()
        if self._machine.control_bytes > self._limits.unread_control_bytes:
            self._machine.hang_up(ErrorCode.ENHANCE_YOUR_CALM, "answers are not read")
            return False
        return True

    async def _write(self) -> None:
        await self._writer.run()
        if self._lingers:
            await self._linger()
        self._scope.cancel()

    async def _linger(self) -> None:
        """Read on until the peer has hung up: to close with bytes unread, or to be sent some afterwards, makes TCP drop
        what of the last answers has not arrived.
        """
        transport = self._transport
        # In TLS nothing can be read behind an end of our side; the GOAWAY tells as much.
        if isinstance(transport, PipeStream) and not transport.secure:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await transport.send_eof()
        await self._hung_up.wait()

    def _has_room(self, stream_id: int) -> None:
        if (stream := self._streams.get(stream_id)) is not None:
            stream.has_room()
            if stream.leaving:
                self._let_go(stream)

    async def _watch(self) -> None:
        """Handshake deadline first, then a PING into every long silence."""
        limits = self._limits
        with trio.move_on_after(limits.handshake_seconds):
            await self._settings.wait()
        if not self._settings.is_set():
            self._break_off("no SETTINGS arrived in time")
        while not self._closing:
            quiet_at = self._heard_at + limits.keepalive_seconds
            if trio.current_time() < quiet_at:
                await trio.sleep_until(quiet_at)
                continue
            self._machine.ping(KEEPALIVE_PING)
            self._wake()
            asked_at = trio.current_time()
            await trio.sleep(limits.keepalive_answer_seconds)
            if self._heard_at < asked_at:
                self._break_off("the peer stopped answering")

    async def _drain_when(self, draining: trio.Event) -> None:
        await draining.wait()
        self._machine.drain()
        self._wake()
        await trio.sleep(self._limits.drain_answer_seconds)
        self._finish_drain()

    def _finish_drain(self) -> None:
        self._machine.refuse_new_streams()
        self._last_usable = 0
        self._wake()
        self._close_when_idle()

    # -- what arrives

    def _dispatch(self, event: Event) -> None:
        match event:
            case Chunk():
                self._keep(event)
            case Ended():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.finish()
            case Opened():
                stream = self._streams[event.stream_id] = Stream(self, event.stream_id, event.headers)
                self._fresh.append(stream)
            case Answered():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.begin(event.headers)
            case Trailed():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.trailers = event.headers
            case WasReset():
                self._was_reset(event)
            case SettingsArrived():
                self._settings.set()
                self._slots.unpark_all()
            case Ponged():
                if self._machine.draining and event.payload != KEEPALIVE_PING:
                    self._finish_drain()
            case GoneAway():
                self._gone_away(event)

    def _keep(self, chunk: Chunk) -> None:
        stream = self._streams.get(chunk.stream_id)
        if stream is None:
            self._machine.consumed(chunk.stream_id, chunk.size)
        elif stream.held.take(chunk.size):
            stream.put(chunk.body, chunk.size)
        else:
            self._machine.consumed(chunk.stream_id, chunk.size)
            self._machine.reset(chunk.stream_id, ErrorCode.ENHANCE_YOUR_CALM)
            stream.fail(StreamReset(ErrorCode.ENHANCE_YOUR_CALM))

    def _was_reset(self, event: WasReset) -> None:
        stream = self._streams.get(event.stream_id)
        # After a complete response a reset only says that our request's rest is not wanted.
        if stream is not None and not (stream.ended and self._answer is None):
            refused = event.code == ErrorCode.REFUSED_STREAM
            stream.fail(StreamRefused("The peer refused the stream.") if refused else StreamReset(event.code))
        elif stream is not None:
            stream.has_room()
        if stream is not None and stream.leaving:
            self.release(stream)

    def _gone_away(self, event: GoneAway) -> None:
        if self._answer is None:
            self._last_usable = min(self._last_usable, event.last_stream_id, HIGHEST_STREAM_ID - 1)
            for stream_id, stream in list(self._streams.items()):
                if stream_id > event.last_stream_id:
                    stream.fail(StreamRefused("The peer was going away and did not take the stream."))
            self._slots.unpark_all()
            self._close_when_idle()

    def _begin(self, nursery: trio.Nursery) -> None:
        fresh, self._fresh = self._fresh, []
        for stream in fresh:
            if stream.fault is not None:
                # Reset in the same breath as it was opened: no work is begun.
                self.release(stream)
            elif not (
                stream.ended and self._at_once is not None and self._at_once(stream, partial(self._let_go, stream))
            ):
                nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: Stream) -> None:
        assert self._answer is not None
        try:
            if stream.fault is None:
                await self._answer(stream)
        finally:
            self.release(stream)

    # -- endings

    def _close_when_idle(self) -> None:
        if not self._streams and self._last_usable != HIGHEST_STREAM_ID and not self._closing:
            self._machine.hang_up(ErrorCode.NO_ERROR)
            # What a client waited for, it has.
            self._lingers = self._answer is not None
            self._stop()

    def _break_off(self, why: str) -> None:
        self._machine.hang_up(ErrorCode.NO_ERROR, why)
        self._stop()

    def _stop(self) -> None:
        """Let the writer say what is left, within the farewell time, then end."""
        if self._closing:
            return
        self._closing = True
        limits = self._limits
        seconds = limits.linger_seconds if self._lingers else limits.farewell_seconds
        self._scope.deadline = trio.current_time() + seconds
        self._lose(ConnectionLost("The connection was lost while the stream was open."))
        self._writer.finish()

    def _lose(self, fault: Http2Error) -> None:
        if self._fault is None:
            self._fault = fault
            self._settings.set()
            self._slots.unpark_all()
            for stream in self._streams.values():
                stream.fail(fault)
