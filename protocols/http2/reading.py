"""Read a connection's bytes: in the watch where there is one, else in a loop of receiving and handling.

A task that waits for a socket is woken by the scheduler, tries, and waits again: with its system calls that costs as
much as all that HTTP/2 makes of a small request. The watch calls a function.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from protocols.transport.stream import PipeStream
from protocols.transport.watch import Watch, shared_watch

# A burst of a few hundred calls in one read; of the smallest frames so many that others wait 10 ms for their turn.
READ_BYTES = 64 * 1024
# In the watch calls are also answered while they are read, or stored: fifty of them, 5 ms.
WATCHED_BYTES = 16 * 1024

Take = Callable[[bytes], bool]
"""Gets what arrived; False when nothing more is wanted. What it raises ends the reading."""


async def read(transport: trio.abc.Stream, take: Take) -> None:
    """Hand over what arrives until `take` says False or the peer is gone."""
    watch = shared_watch()
    if watch is not None and isinstance(transport, PipeStream):
        await _Watched(transport, take).through(watch)
        return
    while (wire := await _receive(transport)) and take(wire):
        pass


async def _receive(transport: trio.abc.Stream) -> bytes:
    try:
        return bytes(await transport.receive_some(READ_BYTES))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return b""


class _Watched:
    """The reading of one pipe."""

    def __init__(self, stream: PipeStream, take: Take) -> None:
        self._stream, self._take = stream, take
        self._over = trio.Event()
        self._crash: Exception | None = None

    async def through(self, watch: Watch) -> None:
        """Read until the end."""
        # What was read before there was a stream rings no bell.
        self._wake(0)
        if not self._over.is_set():
            self._stream.join(watch, self._wake)
        try:
            await self._over.wait()
        finally:
            self._stream.leave()
        if self._crash is not None:
            raise self._crash

    def _wake(self, _events: int) -> None:
        try:
            wire = self._stream.receive_now(WATCHED_BYTES)
            if wire is None or (wire and self._take(wire)):
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception as error:
            # It is the connection's, and must not end the watch for all.
            self._crash = error
        # The end stays readable: whoever goes on watching is called for ever.
        self._stream.leave()
        self._over.set()
