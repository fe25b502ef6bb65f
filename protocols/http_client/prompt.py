"""Requests that leave at once, and one task that reads all their answers.

A small request on a kept connection fits the socket's buffer: sending it needs no waiting, hence no
task. From then on the connection stays in the watch, which reads all answers in one wake-up and also
notices when a server closes what is idle. What needs waiting for (a connection to open, a full
buffer) is declined, and the caller takes the ordinary way.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from protocols.errors import HttpClientError, UnknownAfterSend
from protocols.http1.response_reader import ResponseReader
from protocols.http_client.answers import HttpAnswer
from protocols.transport.pipes import Pipe
from protocols.transport.watch import Watch, shared_watch

if TYPE_CHECKING:
    from protocols.http_client.pool import Pool

Then = Callable[[HttpAnswer | HttpClientError], None]
Settle = Callable[["Pool", Pipe, ResponseReader, float], None]
Failed = Callable[[Exception], object]
# Edges: bytes that the ordinary way is going to read must not ring for ever.
_EDGES = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
# How often deadlines are looked at; an attempt's is tens of seconds away.
_SWEEP_SECONDS = 0.5


class Owed:
    """One request that was sent and whose answer is awaited. `settle` puts the connection back or drops it, now."""

    __slots__ = ("deadline", "pipe", "pool", "reader", "settle", "then")

    def __init__(
        self, pipe: Pipe, pool: Pool, reader: ResponseReader, then: Then, deadline: float, settle: Settle
    ) -> None:
        self.pipe, self.pool, self.reader = pipe, pool, reader
        self.then, self.deadline, self.settle = then, deadline, settle


class _Line:
    """One connection in the watch, for as long as it is open."""

    __slots__ = ("owed", "stirred")

    def __init__(self) -> None:
        self.owed: Owed | None = None
        self.stirred = False  # something came that we did not ask for: look before it is used again


class Listening:
    """All answers owed to one client. `active` while a task listens; `add` only then.

    What one request's `then` raises goes to `failed`, and everybody else's answers are read on. `swept` is told the
    time twice a second.
    """

    def __init__(self, failed: Failed, swept: Callable[[float], object]) -> None:
        self._failed, self._swept = failed, swept
        self._lines: dict[Pipe, _Line] = {}
        self._watch: Watch | None = None
        self.active = False
        # The moment of the last sweep: exact enough for how long a connection may stay idle.
        self.now = 0.0

    def add(self, owed: Owed) -> None:
        """Await the answer on a connection that has just taken a request."""
        assert self._watch is not None
        line = self._lines.get(owed.pipe)
        if line is None:
            line = self._lines[owed.pipe] = _Line()
            self._watch.add(owed.pipe.socket.fileno(), partial(self._wake, line), _EDGES)
        line.owed = owed

    def is_quiet(self, pipe: Pipe) -> bool:
        """Say whether nothing came on an idle connection: a server that closed, or spoke unasked, is not trusted."""
        line = self._lines.get(pipe)
        if line is not None and not line.stirred:
            return True
        try:
            quiet = pipe.receive() is None
        except OSError:
            return False
        if line is not None:
            line.stirred = False
        return quiet

    def forget(self, pipe: Pipe) -> None:
        """Take a connection out of the watch; to be called before it is closed."""
        if self._lines.pop(pipe, None) is not None and self._watch is not None:
            self._watch.remove(pipe.socket.fileno())

    async def listen(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read answers until cancelled; what is owed then is told as unknown."""
        shared = shared_watch()
        watch = self._watch = shared or Watch()
        self.active = True
        self.now = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                if shared is None:
                    nursery.start_soon(watch.run)
                nursery.start_soon(self._sweep)
                task_status.started()
        finally:
            self.active = False
            for pipe in self._lines:
                watch.remove(pipe.socket.fileno())
            if shared is None:
                watch.close()
            lines, self._lines, self._watch = self._lines, {}, None
            for line in lines.values():
                if line.owed is not None:
                    self._end(line.owed, UnknownAfterSend("The client stopped before the answer came."))

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            now = self.now = trio.current_time()
            self._swept(now)
            late = [line.owed for line in self._lines.values() if line.owed is not None and line.owed.deadline <= now]
            for owed in late:
                self._end(owed, UnknownAfterSend("No answer came in time."))

    def _wake(self, line: _Line, _events: int) -> None:
        """Something came, or the server has closed."""
        owed = line.owed
        if owed is None:
            line.stirred = True
            return
        reader = owed.reader
        try:
            while not reader.finished:
                piece = owed.pipe.receive()
                if piece is None:
                    return
                reader.feed(piece)
        except OSError as error:
            self._end(owed, UnknownAfterSend(f"The connection broke before the answer was complete: {error}."))
            return
        except HttpClientError as error:
            self._end(owed, error)
            return
        line.owed = None
        owed.settle(owed.pool, owed.pipe, reader, self.now)
        assert self._watch is not None
        self._watch.in_step(partial(self._tell, owed, HttpAnswer(reader.status, reader.headers, reader.take())))

    def _end(self, owed: Owed, error: HttpClientError) -> None:
        owed.pool.drop(owed.pipe)
        self._tell(owed, error)

    def _tell(self, owed: Owed, answer: HttpAnswer | HttpClientError) -> None:
        try:
            owed.then(answer)
        except Exception as error:
            self._failed(error)
