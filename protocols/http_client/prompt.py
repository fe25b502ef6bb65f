"""Requests that leave at once, and one task that reads all their answers.

A small request on a kept connection fits the socket's buffer: sending it needs no waiting, hence no
task. Its answer is read by `listen`, which owns an epoll over all connections that owe one, so that
many answers cost one wake-up. What needs waiting for (a connection to open, a full buffer) is
declined, and the caller takes the ordinary way.
"""

from __future__ import annotations

import select
from collections.abc import Callable

import trio

from protocols.errors import HttpClientError, UnknownAfterSend
from protocols.http1.response_reader import ResponseReader
from protocols.http_client.answers import HttpAnswer
from protocols.http_client.pool import Pool
from protocols.transport.pipes import Pipe

Then = Callable[[HttpAnswer | HttpClientError], None]
Failed = Callable[[Exception], object]
# Answers read per wake-up: other tasks wait meanwhile.
_EVENTS = 256
# How often deadlines are looked at; an attempt's is tens of seconds away.
_SWEEP_SECONDS = 0.5


class Owed:
    """One request that was sent and whose answer is awaited. `settle` puts the connection back or drops it."""

    __slots__ = ("deadline", "pipe", "pool", "reader", "settle", "then")

    def __init__(
        self, pipe: Pipe, pool: Pool, reader: ResponseReader, then: Then, deadline: float, settle: Callable[[], None]
    ) -> None:
        self.pipe, self.pool, self.reader = pipe, pool, reader
        self.then, self.deadline, self.settle = then, deadline, settle


class Listening:
    """All answers owed to one client. `active` while a task listens; `add` only then.

    What one request's `then` raises goes to `failed`, and everybody else's answers are read on.
    """

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._owed: dict[int, Owed] = {}
        self._epoll: select.epoll | None = None

    @property
    def active(self) -> bool:
        """Whether somebody reads answers."""
        return self._epoll is not None

    def add(self, owed: Owed) -> None:
        """Await the answer on a connection that has just taken a request."""
        assert self._epoll is not None
        descriptor = owed.pipe.socket.fileno()
        self._owed[descriptor] = owed
        self._epoll.register(descriptor, select.EPOLLIN)

    async def listen(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read answers until cancelled; what is owed then is told as unknown."""
        with select.epoll() as epoll:
            self._epoll = epoll
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._sweep)
                    task_status.started()
                    while True:
                        await trio.lowlevel.wait_readable(epoll.fileno())
                        for descriptor, _ in epoll.poll(0, _EVENTS):
                            self._read(descriptor)
            finally:
                self._epoll = None
                for owed in list(self._owed.values()):
                    self._end(owed, UnknownAfterSend("The client stopped before the answer came."))
                self._owed.clear()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            now = trio.current_time()
            for descriptor, owed in [(at, owed) for at, owed in self._owed.items() if owed.deadline <= now]:
                self._forget(descriptor)
                self._end(owed, UnknownAfterSend("No answer came in time."))

    def _read(self, descriptor: int) -> None:
        owed = self._owed.get(descriptor)
        if owed is None:
            return
        try:
            piece = owed.pipe.receive()
            if piece is None:
                return
            owed.reader.feed(piece)
        except OSError as error:
            self._forget(descriptor)
            self._end(owed, UnknownAfterSend(f"The connection broke before the answer was complete: {error}."))
            return
        except HttpClientError as error:
            self._forget(descriptor)
            self._end(owed, error)
            return
        if owed.reader.finished:
            self._forget(descriptor)
            owed.settle()
            self._tell(owed, HttpAnswer(owed.reader.status, owed.reader.headers, owed.reader.take()))

    def _forget(self, descriptor: int) -> None:
        del self._owed[descriptor]
        if self._epoll is not None:
            self._epoll.unregister(descriptor)

    def _end(self, owed: Owed, error: HttpClientError) -> None:
        owed.pool.drop(owed.pipe)
        self._tell(owed, error)

    def _tell(self, owed: Owed, answer: HttpAnswer | HttpClientError) -> None:
        try:
            owed.then(answer)
        except Exception as error:
            self._failed(error)
