"""Send what a connection's core has ready: one writer, which takes everything in one piece.

So headers, messages and trailers of many streams leave together. What was made ready while the watch hands out events
leaves when it has handed out all of them or when it is asked to, without a task; everything else is sent by `run`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from protocols.http2.machine import Machine
from protocols.transport.stream import PipeStream
from protocols.transport.watch import shared_watch

# Above this the writer gives others a turn between two pieces.
SMALL_BYTES = 16 * 1024


class Writer:
    """Nobody else sends on the transport. `moved` hears which streams got room."""

    def __init__(self, transport: trio.abc.Stream, machine: Machine, moved: Callable[[int], None]) -> None:
        self._transport, self._machine, self._moved = transport, machine, moved
        self._watch = shared_watch() if isinstance(transport, PipeStream) else None
        # `run` waits here, and nowhere else, for something to send.
        self._idle = trio.lowlevel.ParkingLot()
        # Whether the watch will have the rest sent behind this turn of it, and how often `flush` was asked in it.
        self._put_off, self._flushes = False, 0
        self._finished = self._broken = False

    def wake(self) -> None:
        """There may be something to send."""
        if self._put_off or not self._idle:
            return
        if self._watch is not None and self._watch.behind(self._end_turn):
            self._put_off = True
        else:
            self._idle.unpark()

    def flush(self) -> None:
        """An answer is whole: it need not wait for the rest of the turn, if few came before it.

        Of answers that become ready in one turn the first leaves, then the second, the fourth, the eighth: one waits
        no longer than the work on those before it took, and a hundred cost seven system calls.
        """
        if self._put_off:
            self._flushes += 1
            if not self._flushes & (self._flushes - 1):
                self._send_now()

    def finish(self) -> None:
        """Let `run` end when all is sent."""
        self._finished = True
        self._idle.unpark()

    async def run(self) -> None:
        """Send until `finish`, or until the peer is gone."""
        try:
            while not self._broken:
                await self._flush()
                wire = self._machine.take()
                if wire:
                    await self._send(wire)
                    self._tell()
                elif self._finished:
                    break
                else:
                    await self._idle.park()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _send(self, wire: bytes) -> None:
        """Send all of it. What is small and fits needs no turn of the scheduler: the writer parks next."""
        transport = self._transport
        if isinstance(transport, PipeStream) and len(wire) <= SMALL_BYTES:
            transport.send_now(wire)
            await self._flush()
        else:
            await transport.send_all(wire)

    async def _flush(self) -> None:
        if isinstance(self._transport, PipeStream) and self._transport.pipe.unsent:
            await self._transport.flush()

    def _end_turn(self) -> None:
        self._put_off, self._flushes = False, 0
        self._send_now()

    def _send_now(self) -> None:
        """Send without waiting; what does not fit, and the rest of what is long, is left to `run`."""
        transport = self._transport
        if not self._idle or not isinstance(transport, PipeStream):
            return
        wire = self._machine.take()
        try:
            if wire:
                transport.send_now(wire)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken = True
        self._tell()
        if self._broken or self._finished or transport.pipe.unsent or len(wire) > SMALL_BYTES:
            self._idle.unpark()

    def _tell(self) -> None:
        for stream_id in self._machine.moved:
            self._moved(stream_id)
