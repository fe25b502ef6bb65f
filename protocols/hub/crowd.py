"""The server's connections: an epoll of their own inside the watch, so that a crowd of them holds up nothing else.

A turn serves some milliseconds' worth of what is ready, in the order of `rota.py`; answers awaited from other
servers, the journal's bell and all tasks come in between. Who is left unread twice is parked: the epoll tells no
more that there is something to read, so a turn costs what is new and what it serves, however many wait (to hear of
1,000 each time took a seventh of a core). While the application is reluctant and many wait, the epoll rests for a
moment instead of waking the watch for nothing.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterable

import trio

from protocols.hub.rota import FEW, SLICE_SECONDS, Company, Rota
from protocols.transport.watch import Waker, Watch

# Whatever is ready is heard of: the newest are the last that epoll tells.
_EVENTS = 8192
# How long to rest when nothing may be read: what is in hand lasts ten times as long.
_REST_SECONDS = 0.01
# For telling the late when nobody else is there to be read; the journal's bell is heard in between.
_IDLE_SECONDS = 0.001

Ready = list[tuple[int, int]]


class Crowd:
    """Calls each descriptor's waker when it is its turn. `late`: who is called now has waited unread for too long."""

    def __init__(self, watch: Watch, reluctant: Callable[[], bool]) -> None:
        self._watch, self._reluctant = watch, reluctant
        self._epoll = select.epoll()
        self._wakers: dict[int, Waker] = {}
        self._wanted: dict[int, int] = {}  # the events waited for, where they are others than EPOLLIN
        self._rota = Rota()
        self._parked: set[int] = set()
        self._just_read: list[int] = []  # by a turn that filled its slice: they come last in the next
        # Always readable, and heard while somebody is parked: brings about the next turn.
        self._knock, self._knocking = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC), False
        self._epoll.register(self._knock, 0)
        self._resting = trio.lowlevel.ParkingLot()
        self._now: Callable[[], float] = trio.current_time
        self._company = Company()
        self._abreast, self._since = 0, 0.0  # how many were read whose work is still to be done, and since when
        self.late = False

    def open(self) -> None:
        """Take part in the watch, until `close`."""
        self._now = trio.lowlevel.current_clock().current_time  # what `trio.current_time` asks behind two more calls
        self._watch.add(self._epoll.fileno(), self._turn)

    def add(self, descriptor: int, waker: Waker) -> None:
        """Wait for what a descriptor receives until `remove`, which must come before it is closed."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._wakers[descriptor] = waker

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events from now on."""
        self._wanted[descriptor] = events
        if not events & select.EPOLLIN:
            self._rota.forget(descriptor)
            self._parked.discard(descriptor)
        self._epoll.modify(descriptor, events & ~select.EPOLLIN if descriptor in self._parked else events)

    def remove(self, descriptor: int) -> None:
        """Wait for it no longer."""
        del self._wakers[descriptor]
        self._wanted.pop(descriptor, None)
        self._rota.forget(descriptor)
        self._parked.discard(descriptor)
        self._epoll.unregister(descriptor)

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
        os.close(self._knock)

    def _turn(self, _events: int) -> None:
        ready, reluctant = self._epoll.poll(0, _EVENTS), self._reluctant()
        just_read, self._just_read = self._just_read, []
        self._watch.catch_up()  # what others brought in this wake-up is no work of those who are read now
        self._since = self._now()
        if reluctant or self._rota or just_read or len(ready) > FEW:
            self._turn_of_many(ready, just_read, reluctant=reluctant)
        else:
            self._turn_of_few(ready)
        if self._knocking is not bool(self._parked):
            self._knocking = not self._knocking
            self._epoll.modify(self._knock, select.EPOLLIN if self._knocking else 0)

    def _turn_of_few(self, ready: Ready) -> None:
        """Serve all, first come, first served; those for whom a slice is too short come first in the next turn."""
        wakers, room, began = self._wakers, True, self._since
        until = began + SLICE_SECONDS
        for place, (descriptor, events) in enumerate(ready, 1):
            waker = wakers.get(descriptor)
            if waker is None:  # closed in this turn
                continue
            if not room and events == select.EPOLLIN:
                self._rota.leave((descriptor,), began)
                continue
            waker(events)
            if self._was_read() >= until and room:
                room, self._just_read = False, [descriptor for descriptor, _ in ready[:place]]
            room = room and (place == len(ready) or not self._reluctant())
        self._work_off()

    def _turn_of_many(self, ready: Ready, just_read: list[int], *, reluctant: bool) -> None:
        rota, began = self._rota, self._since
        unread = [descriptor for descriptor, events in ready if events == select.EPOLLIN and descriptor != self._knock]
        again = [descriptor for descriptor in unread if descriptor in rota]
        # Of many the last would be read first: a client who fills every slice would be the newest each time.
        rota.leave(unread, began, last=just_read if len(rota) + len(unread) <= FEW else ())
        for descriptor, events in ready:
            # An answer goes on, or a client is gone: that takes no new request.
            if events != select.EPOLLIN and (waker := self._wakers.get(descriptor)) is not None:
                if events & select.EPOLLIN:
                    rota.forget(descriptor)
                waker(events)
        served = 0
        if not reluctant:
            until = began + SLICE_SECONDS
            read = self._serve(rota.in_time(began), until)
            served = len(read)
            if self._now() >= until:
                self._just_read = read
        served += self._tell_the_late(idle=not served and not reluctant)
        for descriptor in again:
            if descriptor in rota:
                self._park(descriptor)
        if rota and (reluctant or not served):
            self._rest()

    def _tell_the_late(self, *, idle: bool) -> int:
        """Call some of those who waited for too long; return how many."""
        rota, began = self._rota, self._now()
        allowance = rota.allowance(began)
        if idle:
            allowance = _IDLE_SECONDS
        elif allowance <= 0:
            return 0
        self.late = True
        try:
            return len(self._serve(rota.late(began), began + allowance))
        finally:
            self.late = False
            if not idle:
                rota.spend(self._now() - began)

    def _serve(self, order: Iterable[int], until: float) -> list[int]:
        """Read these while there is time and room, one at least; return who was read."""
        served = []
        for descriptor in order:
            served.append(descriptor)
            self._read(descriptor)
            if self._was_read() >= until or (not self.late and self._reluctant()):
                break
        self._work_off()
        return served

    def _was_read(self) -> float:
        """Count one more; do the work of all that were read when they are many enough. Returns what time it is."""
        self._abreast += 1
        return self._work_off() if self._abreast >= self._company.size else self._now()

    def _work_off(self) -> float:
        self._watch.catch_up()
        now = self._now()
        self._company.took(self._abreast, now - self._since)
        self._abreast, self._since = 0, now
        return now

    def _read(self, descriptor: int) -> None:
        self._rota.forget(descriptor)
        if descriptor in self._parked:
            self._parked.remove(descriptor)
            self._epoll.modify(descriptor, self._wanted.get(descriptor, select.EPOLLIN))
        self._wakers[descriptor](select.EPOLLIN)

    def _park(self, descriptor: int) -> None:
        self._parked.add(descriptor)
        self._epoll.modify(descriptor, self._wanted.get(descriptor, select.EPOLLIN) & ~select.EPOLLIN)

    def _rest(self) -> None:
        if self._resting:  # nobody could end it otherwise
            self._watch.change(self._epoll.fileno(), 0)
            self._resting.unpark()
