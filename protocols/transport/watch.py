"""One epoll and one task for everything that is read without a task of its own.

A wake-up of the scheduler costs some 30 µs, a call from this loop one: the server's connections, the
client's awaited answers and the bell of another thread therefore share one. `open_watch` makes the
one of this run; whoever is opened inside it finds it with `shared_watch`.

What a wake-up brings goes in step (`steps.py`). While somebody knows that nothing can be answered yet, it may hush the
watch: bells are heard, everything else waits and is then handed out together, for one wake-up instead of many.
"""

from __future__ import annotations

import os
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from protocols.transport.steps import InStep, Steps

Waker = Callable[[int], object]
"""Called with the events of one descriptor. Must be quick and must not raise: it would end the watch for all."""

# Events taken per wake-up: other tasks wait meanwhile.
_EVENTS = 128
_SHARED: trio.lowlevel.RunVar[Watch | None] = trio.lowlevel.RunVar("oclaw.watch", None)


class Watch:
    """Calls each descriptor's waker when it is ready. Loop only; `run` is its one task.

    `in_step` takes a step of a message's way and does it with those of all messages of the same wake-up, before what is
    `behind` it; `catch_up` does what was taken so far, for wakers that want to see how long it takes. What a step
    raises goes to `failed`, and the others are done; what `failed` raises ends the watch.
    """

    def __init__(self, failed: Callable[[BaseException], object] | None = None) -> None:
        self._epoll = select.epoll()
        self._wakers: dict[int, Waker] = {}
        self._afterwards: list[Callable[[], object]] = []
        self._steps = steps = Steps() if failed is None else Steps(failed)
        self.in_step: InStep = steps.take  # every message comes by here several times: no call between
        self.catch_up = steps.catch_up
        self._endings: list[Callable[[], object]] = []
        # Readable when a bell was rung or the hush is over. One for all bells, as a hushed watch waits for one alone;
        # an epoll of several inside Trio's took a tenth longer from the ringing to the call.
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bells: list[Callable[[], object]] = []
        self._hushed = False
        self.add(self._nudge, self._nudged)

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
        if self._steps.together:
            self._afterwards.append(work)
        return self._steps.together

    def add_bell(self, answer: Callable[[], object]) -> None:
        """Call `answer` in the loop after each `nudge`, until `remove_bell`."""
        self._bells.append(answer)

    def remove_bell(self, answer: Callable[[], object]) -> None:
        """Call it no longer."""
        self._bells.remove(answer)

    def nudge(self) -> None:
        """Wake up and answer the bells; from any thread, while the watch is open."""
        os.eventfd_write(self._nudge, 1)

    def hush(self) -> None:
        """Wake up for bells only, until `hear`; what else is ready then is handed out with them. From any thread."""
        self._hushed = True

    def hear(self) -> None:
        """Wake up for everything again, and now for what came meanwhile. From any thread, while the watch is open."""
        if self._hushed:
            self._hushed = False
            self.nudge()

    def at_end(self, work: Callable[[], object]) -> None:
        """Call `work` when the watch ends, were it by a waker that raised: nobody hands out events from then on."""
        self._endings.append(work)

    async def run(self) -> None:
        """Hand out events until cancelled."""
        try:
            await self._hand_out()
        finally:
            self._steps.together = False
            for work in self._endings:
                work()

    async def _hand_out(self) -> None:
        wakers, poll, everything, nudge = self._wakers, self._epoll.poll, self._epoll.fileno(), self._nudge
        steps = self._steps
        while True:
            await trio.lowlevel.wait_readable(nudge if self._hushed else everything)
            steps.together = True
            for ready, events in poll(0, _EVENTS):
                waker = wakers.get(ready)
                if waker is not None:
                    waker(events)
            steps.catch_up()
            steps.together = False
            if self._afterwards:
                works, self._afterwards = self._afterwards, []
                for work in works:
                    work()

    def _nudged(self, _events: int) -> None:
        os.eventfd_read(self._nudge)
        for answer in tuple(self._bells):
            answer()

    def close(self) -> None:
        """Let go of the epoll; the descriptors in it are their owners' to close."""
        self._epoll.close()
        os.close(self._nudge)


@asynccontextmanager
async def open_watch(failed: Callable[[BaseException], object] | None = None) -> AsyncIterator[Watch]:
    """Run a watch, shared by all that is opened inside the block."""
    watch = Watch(failed)
    # Shielded: what is closed in the block while it is cancelled still needs its events.
    life = trio.CancelScope(shield=True)

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        with life:
            task_status.started()
            await watch.run()

    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            before = _SHARED.get()
            _SHARED.set(watch)
            try:
                yield watch
            finally:
                _SHARED.set(before)
                life.cancel()
    finally:
        watch.close()


def shared_watch() -> Watch | None:
    """Return the watch of the block we are in, None outside of one."""
    return _SHARED.get()
