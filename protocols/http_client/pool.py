"""Connections to one origin: reuse what is idle and fresh, open at most so many, queue beyond.

The queue is bounded by who waits: a caller that waits here is one task under its own deadline.
"""

from __future__ import annotations

import trio

from protocols.http_client.connect import Connector
from protocols.http_client.prompt import Listening
from protocols.transport.pipes import Pipe
from protocols.urls import Url


class Pool:
    """The connections to one origin."""

    __slots__ = ("_connector", "_idle", "_listening", "_most", "_queued", "_url", "_waiting", "authority",
                 "in_use")  # fmt: skip

    def __init__(self, connector: Connector, url: Url, listening: Listening, *, most: int) -> None:
        self._connector, self._listening = connector, listening
        self._url, self.authority = url, url.authority
        self._most = most
        # Each with the moment from which it is too old to be used. The youngest is last and used first.
        self._idle: list[tuple[Pipe, float]] = []
        self._waiting = trio.lowlevel.ParkingLot()
        self._queued = 0
        self.in_use = 0

    @property
    def idle(self) -> int:
        return len(self._idle)

    def ends_at(self) -> float:
        """Return the moment from which the oldest idle connection is too old. Only with an idle one."""
        return self._idle[0][1]

    def close_oldest(self) -> None:
        """Close the oldest idle connection. Only with an idle one."""
        pipe, _ = self._idle.pop(0)
        self._close(pipe)

    def take_idle(self, now: float) -> Pipe | None:
        """Return a connection on which nothing has happened since its last answer, None if there is none."""
        while self._idle:
            pipe, until = self._idle.pop()
            if until > now and self._listening.is_quiet(pipe):
                self.in_use += 1
                return pipe
            self._close(pipe)
        return None

    async def open(self) -> Pipe:
        """Open a connection, or wait for one to come free and return it. Raises NothingSent."""
        while self.in_use >= self._most:
            self._queued += 1
            try:
                await self._waiting.park()
            finally:
                self._queued -= 1
            pipe = self.take_idle(trio.current_time())
            if pipe is not None:
                return pipe
        self.in_use += 1
        try:
            return await self._connector.open(self._url)
        except BaseException:
            self._leave()
            raise

    def give_back(self, pipe: Pipe, *, until: float) -> None:
        """The connection may serve another request until that moment."""
        self._idle.append((pipe, until))
        self._leave()

    def drop(self, pipe: Pipe) -> None:
        """The connection is not fit for another request."""
        self._close(pipe)
        self._leave()

    def prune(self, now: float) -> None:
        """Close the idle connections that are too old."""
        old = [pipe for pipe, until in self._idle if until <= now]
        self._idle = [entry for entry in self._idle if entry[1] > now]
        for pipe in old:
            self._close(pipe)

    def _close(self, pipe: Pipe) -> None:
        self._listening.forget(pipe)
        pipe.close()

    def _leave(self) -> None:
        self.in_use -= 1
        if self._queued:
            self._waiting.unpark()
