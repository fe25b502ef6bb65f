"""Let people watch notices live (`oclaw tail`) without ever waiting for them.

Each watcher has a bounded memory channel. One that reads too slowly loses notices; the next
thing it receives is a `Gap` that says how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio
from msgspec import Struct

from gateway.notices import Notice

# One second of a busy gateway (1,000 messages/s, three notices each), so that a pause of the terminal costs nothing.
WATCHER_QUEUE = 3000


class Seen(Struct, frozen=True):
    """A notice, when it was reported (epoch seconds), and the envelope it is about, or ''."""

    at: float
    notice: Notice
    envelope_id: str = ""


class Gap(Struct, frozen=True):
    """So many notices were lost to this watcher here."""

    missed: int


class Watcher:
    """The sending end of one watcher's memory channel."""

    def __init__(self, out: trio.MemorySendChannel[Seen | Gap]) -> None:
        self._out, self._missed = out, 0

    def put(self, seen: Seen) -> None:
        """Hand over without waiting, or count what is lost."""
        try:
            if self._missed:
                self._out.send_nowait(Gap(self._missed))
                self._missed = 0
            self._out.send_nowait(seen)
        except trio.WouldBlock:
            self._missed += 1


class Watchers:
    """Everybody who watches at the moment. For the loop's thread only."""

    def __init__(self) -> None:
        self.all: list[Watcher] = []

    @contextmanager
    def watch(self, queue: int = WATCHER_QUEUE) -> Iterator[trio.MemoryReceiveChannel[Seen | Gap]]:
        """Give a receiver of all that is reported while the block is open."""
        send, receive = trio.open_memory_channel[Seen | Gap](queue)
        watcher = Watcher(send)
        self.all.append(watcher)
        try:
            yield receive
        finally:
            self.all.remove(watcher)
            send.close()
            receive.close()
