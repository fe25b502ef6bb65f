"""The server's connections: an epoll of their own inside the watch, so that a crowd of them holds up nothing else.

A turn serves some milliseconds' worth of what is ready, in the order of `rota.py`; answers awaited from other
servers, the journal's bell and all tasks come in between. While the application is reluctant and many
wait, the epoll rests for a moment instead of waking the watch for nothing.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from math import inf

import trio

from protocols.hub.rota import FEW, LATE_SECONDS, LATE_SHARE, SLICE_SECONDS, Ready, Rota
from protocols.transport.watch import Waker, Watch

# Whatever is ready is heard of: the newest are the last that epoll tells.
_EVENTS = 8192
# How long to rest when nothing may be read: what is in hand lasts ten times as long, and each look at a crowd of 1,000
# costs half a millisecond.
_REST_SECONDS = 0.01


class Crowd:
    """Calls each descriptor's waker when it is its turn. `late`: who is called now has waited unread for too long."""

    def __init__(self, watch: Watch, reluctant: Callable[[], bool]) -> None:
        self._watch, self._reluctant = watch, reluctant
        self._epoll = select.epoll()
        self._wakers: dict[int, Waker] = {}
        self._rota, self._last_turn = Rota(), 0.0
        self._resting = trio.lowlevel.ParkingLot()
        self.late = False

    def open(self) -> None:
        """Take part in the watch, until `close`."""
        self._watch.add(self._epoll.fileno(), self._turn)

    def add(self, descriptor: int, waker: Waker) -> None:
        """Wait for what a descriptor receives until `remove`, which must come before it is closed."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._wakers[descriptor] = waker

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events from now on."""
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Wait for it no longer."""
        del self._wakers[descriptor]
        self._epoll.unregister(descriptor)
        self._rota.forget(descriptor)

    async def run(self) -> None:
        """Wake up whenever a rest is over, until cancelled."""
        while True:
            await self._resting.park()
            await trio.sleep(_REST_SECONDS)
            self._watch.change(self._epoll.fileno(), select.EPOLLIN)

    def close(self) -> None:
        """Let go of the epoll; the descriptors in it are their owners' to close."""
        self._watch.remove(self._epoll.fileno())
        self._epoll.close()

    def _turn(self, _events: int) -> None:
        ready, reluctant = self._epoll.poll(0, _EVENTS), self._reluctant()
        if len(ready) <= FEW and not reluctant:
            began = trio.current_time()
            until = began + SLICE_SECONDS
            # Epoll tells them in the same order every time: behind one whose reading fills the slice nobody would come.
            self._rota.unread_first(ready)
            served = self._serve(ready, until)
            self._rota.leave(ready[served:], began, read=ready[:served] if trio.current_time() >= until else ())
        elif ready and (not self._serve_some(ready, reluctant=reluctant) or reluctant):
            self._rest()

    def _rest(self) -> None:
        if self._resting:  # nobody could end it otherwise
            self._watch.change(self._epoll.fileno(), 0)
            self._resting.unpark()

    def _serve(self, ready: Ready, until: float) -> int:
        """Call wakers in this order while there is time and room, one at least; return how many."""
        wakers, now, last = self._wakers, trio.current_time, len(ready)
        for count, (descriptor, events) in enumerate(ready, 1):
            waker = wakers.get(descriptor)
            if waker is not None:  # else closed in this turn
                waker(events)
            if count < last and (now() >= until or (until < inf and not self.late and self._reluctant())):
                return count
        return last

    def _serve_some(self, ready: Ready, *, reluctant: bool) -> int:
        """Serve a slice of many; return how many that was. The others stay unread."""
        rota, began = self._rota, trio.current_time()
        share = min(SLICE_SECONDS, max(LATE_SECONDS, (began - self._last_turn) * LATE_SHARE))
        self._last_turn = began
        turns = rota.part(ready, began)
        self._serve(turns.urgent, inf)
        fresh = 0 if reluctant else self._serve(turns.fresh, trio.current_time() + SLICE_SECONDS)
        self.late = True
        try:
            late = self._serve(turns.late, trio.current_time() + share)
        finally:
            self.late = False
        rota.leave(turns.late[late:] + turns.fresh[fresh:][::-1], began)
        return len(turns.urgent) + fresh + late
