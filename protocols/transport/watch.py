"""One epoll and one task for everything that is read without a task of its own.

A wake-up of the scheduler costs some 30 µs, a call from this loop one: the server's connections, the
client's awaited answers and the bell of another thread therefore share one. `open_watch` makes the
one of this run; whoever is opened inside it finds it with `shared_watch`.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

Waker = Callable[[int], object]
"""Called with the events of one descriptor. Must be quick and must not raise: it would end the watch for all."""

# Events taken per wake-up: other tasks wait meanwhile.
_EVENTS = 128
_SHARED: trio.lowlevel.RunVar[Watch | None] = trio.lowlevel.RunVar("oclaw.watch", None)


class Watch:
    """Calls each descriptor's waker when it is ready. Loop only; `run` is its one task."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wakers: dict[int, Waker] = {}
        self._afterwards: list[Callable[[], object]] = []
        self._handing_out = False
        self._endings: list[Callable[[], object]] = []

    def add(self, descriptor: int, waker: Waker, events: int = select.EPOLLIN) -> None:
        """Watch a descriptor until `remove`, which must come before it is closed."""
        self._epoll.register(descriptor, events)
        self._wakers[descriptor] = waker

    def change(self, descriptor: int, events: int) -> None:
        """Watch for other events from now on."""
        self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Watch it no longer; an event that is being handed out already finds nobody."""
        del self._wakers[descriptor]
        self._epoll.unregister(descriptor)

    def afterwards(self, work: Callable[[], object]) -> None:
        """Call `work` once all events of this wake-up are handed out.

        For what opens descriptors: one that was closed before is given out again, and an event of the old must
        not meet the new.
        """
        self._afterwards.append(work)

    def behind(self, work: Callable[[], object]) -> bool:
        """Call `work` as `afterwards` does, if events are being handed out; False, and nothing, if not.

        For what many wakers add to and what is best done once, as writing to a socket is.
        """
        if self._handing_out:
            self._afterwards.append(work)
        return self._handing_out

    def at_end(self, work: Callable[[], object]) -> None:
        """Call `work` when the watch ends, were it by a waker that raised: nobody hands out events from then on."""
        self._endings.append(work)

    async def run(self) -> None:
        """Hand out events until cancelled."""
        try:
            await self._hand_out()
        finally:
            for work in self._endings:
                work()

    async def _hand_out(self) -> None:
        wakers, poll, descriptor = self._wakers, self._epoll.poll, self._epoll.fileno()
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            self._handing_out = True
            for ready, events in poll(0, _EVENTS):
                waker = wakers.get(ready)
                if waker is not None:
                    waker(events)
            self._handing_out = False
            if self._afterwards:
                works, self._afterwards = self._afterwards, []
                for work in works:
                    work()

    def close(self) -> None:
        """Let go of the epoll; the descriptors in it are their owners' to close."""
        self._epoll.close()


class BellGone(Exception):
    """The bell was taken down: nobody in the loop will answer."""


class Bell:
    """Lets another thread have plain functions called in the loop, in the order of ringing.

    In a watch it does what Trio's `run_sync_soon` does at a quarter of the cost; without one it uses that.
    """

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch
        self._token = trio.lowlevel.current_trio_token()
        self._calls: deque[Callable[[], object]] = deque()
        self._hanging = threading.Lock()  # a descriptor that was closed may be somebody else's already
        self._descriptor = -1
        if watch is not None:
            self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            watch.add(self._descriptor, self._answer)
            watch.at_end(self._fall_back)

    def ring(self, call: Callable[[], object]) -> None:
        """Have `call` called soon; from any thread. It must not raise. Raises BellGone after `close`."""
        with self._hanging:
            if self._watch is not None:
                if self._descriptor < 0:
                    raise BellGone
                self._calls.append(call)
                os.eventfd_write(self._descriptor, 1)
                return
        try:
            self._token.run_sync_soon(call)
        except trio.RunFinishedError as error:
            raise BellGone from error

    def close(self) -> None:
        """Take the bell down. What was rung and not yet called is called now, and what these calls ring as well."""
        self._call_all()
        with self._hanging:
            self._unhook()
        self._call_all()

    def _fall_back(self) -> None:
        """The watch is over before the bell: its thread still needs answers to end, and gets them from Trio."""
        with self._hanging:
            if self._descriptor >= 0:
                self._unhook()
                self._watch = None
                self._token.run_sync_soon(self._call_all)

    def _unhook(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if self._watch is not None and descriptor >= 0:
            self._watch.remove(descriptor)
            os.close(descriptor)

    def _answer(self, _events: int) -> None:
        os.eventfd_read(self._descriptor)
        calls = self._calls
        for _ in range(len(calls)):  # one that rings again waits for its turn
            calls.popleft()()

    def _call_all(self) -> None:
        while self._calls:
            self._calls.popleft()()


@asynccontextmanager
async def open_watch() -> AsyncIterator[Watch]:
    """Run a watch, shared by all that is opened inside the block."""
    watch = Watch()
    # Shielded: what is closed in the block while it is cancelled still needs its events.
    life = trio.CancelScope(shield=True)

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with life:
            task_status.started()
            await watch.run()

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        before = _SHARED.get()
        _SHARED.set(watch)
        try:
            yield watch
        finally:
            _SHARED.set(before)
            life.cancel()
    watch.close()


def shared_watch() -> Watch | None:
    """Return the watch of the block we are in, None outside of one."""
    return _SHARED.get()
