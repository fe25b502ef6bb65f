"""The HTTP client: requests over kept connections, and errors that say what is known.

The caller owns the deadline (a cancel scope around the call) and gets one of three outcomes:
an answer, `NothingSent` (trying again cannot do the work twice) or `UnknownAfterSend`.
Redirects are answers like any other: following one is the caller's decision.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from types import TracebackType

import trio

from protocols.errors import NothingSent, UnknownAfterSend, UnsafeHeader
from protocols.http1.headers import Headers
from protocols.http1.heads import ReadStatus, best_read_status
from protocols.http1.messages import Fields
from protocols.http1.response_reader import ResponseReader
from protocols.http1.writer import request_head
from protocols.http_client.answers import HttpAnswer, StreamedAnswer
from protocols.http_client.connect import AddressVet, Connector
from protocols.http_client.exchange import Body, Outgoing, Sized, receive_more, transact
from protocols.http_client.limits import ClientLimits
from protocols.http_client.pool import Pool
from protocols.http_client.prompt import Failed, Listening, Owed, Then
from protocols.transport.pipes import Pipe
from protocols.urls import Url, parse_url

_KEEP_ALIVE = re.compile(rb"timeout=([0-9]{1,6})", re.IGNORECASE)
_REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS"))
# What a socket takes at once when it has nothing unsent: Linux begins with 16 KB of room (tcp(7), tcp_wmem).
_AT_ONCE_BYTES = 16 * 1024


def _unheard(error: Exception) -> None:
    """Keep an error from everybody who waits behind the one that raised it; its owner wanted no word of it."""


class HttpClient:
    """Shared by any number of tasks. Use as `async with HttpClient() as client`, or call `close`.

    `tls` is the trust (default: the system's), `vet` may refuse addresses after name resolution,
    `unix_path` sends everything to that socket whatever the URL's host. `failed` is told what the `then` of a
    `send_now` raised.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        vet: AddressVet | None = None,
        unix_path: Path | None = None,
        limits: ClientLimits | None = None,
        read_status: ReadStatus | None = None,
        failed: Failed = _unheard,
    ) -> None:
        self._limits = limits or ClientLimits()
        self._connector = Connector(self._limits, tls, vet, unix_path)
        self._pools: dict[tuple[bool, str, int], Pool] = {}
        self._read_status = read_status or best_read_status()
        self._prune_at = 0.0
        self._closed = False
        self._listening = Listening(failed, self._swept)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: Body = b"",
        body_bytes: int | None = None,
        on_send: Callable[[], object] | None = None,
    ) -> HttpAnswer:
        """Send one request and return its whole answer.

        Raises NothingSent (with BadUrl, AddressRefused), UnknownAfterSend (with BadAnswer,
        AnswerTooLarge beyond `body_bytes`) or UnsafeHeader. `on_send` is called just before the first
        byte leaves: a caller that is cancelled learns from it whether the outcome is unknown.
        """
        most = self._limits.body_bytes if body_bytes is None else body_bytes
        outgoing, reader, pool, pipe = await self._begin(method, url, headers, body, most, on_send)
        try:
            while not reader.finished:
                await receive_more(pipe, reader)
        except BaseException:
            pool.drop(pipe)
            raise
        self._settle(pool, pipe, reader, trio.current_time(), complete=outgoing.complete)
        return HttpAnswer(reader.status, reader.headers, reader.take())

    async def listen(  # noqa: ASYNC128
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Read the answers to what `send_now` sends, for ever. `send_now` declines everything without it."""
        await self._listening.listen(task_status=task_status)  # which calls started()

    def send_now(
        self,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        body_bytes: int | None = None,
        deadline: float = inf,
        then: Then,
    ) -> bool:
        """Send a request whole, now, without waiting; `then` gets the answer, or UnknownAfterSend. True when sent.

        False when that needs waiting (no kept connection is free, it just closed, nobody listens, the body is large):
        nothing has been sent, and `request` is the way. `deadline` is on Trio's clock. Raises BadUrl or UnsafeHeader.
        """
        if not self._listening.active or self._closed or len(body) > _AT_ONCE_BYTES:
            return False
        place = parse_url(url)
        pool = self._pools.get((place.secure, place.host, place.port))
        pipe = pool.take_idle(self._listening.now) if pool is not None else None
        if pool is None or pipe is None:
            return False
        most = self._limits.body_bytes if body_bytes is None else body_bytes
        reader = ResponseReader(self._read_status, body_bytes=most, to_head=method == "HEAD")
        try:
            pipe.write(request_head(method, place.target, pool.authority, headers, length=len(body)) + body)
        except UnsafeHeader:
            pool.drop(pipe)
            raise
        except OSError:
            pool.drop(pipe)
            return False
        if pipe.unsent:  # a piece is with the kernel already: too late for another way
            pool.drop(pipe)
            then(UnknownAfterSend("The connection took a part of the request and then no more."))
            return True
        self._listening.add(Owed(pipe, pool, reader, then, deadline, self._settle))
        return True

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Fields = (),
        body: Body = b"",
        body_bytes: int | None = None,
        on_send: Callable[[], object] | None = None,
    ) -> AsyncIterator[StreamedAnswer]:
        """Send one request and read its answer while it arrives; unbounded unless `body_bytes` is given.

        Leaving the block before the end closes the connection, which tells the server to stop.
        """
        outgoing, reader, pool, pipe = await self._begin(method, url, headers, body, body_bytes, on_send)
        try:
            yield StreamedAnswer(reader, lambda: receive_more(pipe, reader))
        except BaseException:
            pool.drop(pipe)
            raise
        self._settle(pool, pipe, reader, trio.current_time(), complete=outgoing.complete)

    def close(self) -> None:
        """Close idle connections now and busy ones when their answers are read."""
        self._closed = True
        for pool in self._pools.values():
            pool.prune(float("inf"))

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _begin(
        self,
        method: str,
        url: str,
        headers: Fields,
        body: Body,
        body_bytes: int | None,
        on_send: Callable[[], object] | None,
    ) -> tuple[Outgoing, ResponseReader, Pool, Pipe]:
        """Send the request and read until the answer's head is known."""
        place = parse_url(url)
        outgoing = Outgoing(_head(method, place, headers, body), body, on_send)
        pool = self._pool(place)
        while True:
            pipe, reused = await self._connection(pool)
            reader = ResponseReader(self._read_status, body_bytes=body_bytes, to_head=method == "HEAD")
            try:
                await transact(pipe, outgoing, reader)
            except (NothingSent, UnknownAfterSend) as error:
                pool.drop(pipe)
                if not (reused and outgoing.is_repeatable and self._may_repeat(method, reader, error)):
                    raise
            except BaseException:
                pool.drop(pipe)
                raise
            else:
                return outgoing, reader, pool, pipe

    async def _connection(self, pool: Pool) -> tuple[Pipe, bool]:
        if self._closed:
            raise NothingSent("The HTTP client is closed.")
        pipe = pool.take_idle(trio.current_time())
        if pipe is not None:
            return pipe, True
        return await pool.open(), False

    def _may_repeat(self, method: str, reader: ResponseReader, error: Exception) -> bool:
        # A kept connection can close under our request. RFC 9110 section 9.2.2 allows repeating what
        # changes nothing on the server; anything else only when no byte of it was sent.
        return isinstance(error, NothingSent) or (method in _REPEATABLE and not reader.begun)

    def _pool(self, url: Url) -> Pool:
        key = (url.secure, url.host, url.port)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(
                self._connector, url, self._listening, most=self._limits.connections_per_origin
            )
        return pool

    def _settle(self, pool: Pool, pipe: Pipe, reader: ResponseReader, now: float, *, complete: bool = True) -> None:
        # A server may answer before it has read the request; the rest would meet the next one.
        fit = reader.finished and reader.reusable and not reader.tail and complete
        if now >= self._prune_at:
            self._prune(now)
        if fit and not self._closed:
            # A few origins alone never have so many.
            if len(self._pools) * self._limits.connections_per_origin > self._limits.idle_connections:
                self._make_room()
            pool.give_back(pipe, until=now + _patience(reader.headers, self._limits.idle_seconds))
        else:
            pool.drop(pipe)

    def _make_room(self) -> None:
        """Close the idle connection that ends soonest if there are as many as may be: what is used often stays."""
        keeping = [pool for pool in self._pools.values() if pool.idle]
        if sum(pool.idle for pool in keeping) >= self._limits.idle_connections:
            min(keeping, key=Pool.ends_at).close_oldest()

    def _swept(self, now: float) -> None:
        if now >= self._prune_at:
            self._prune(now)

    def _prune(self, now: float) -> None:
        self._prune_at = now + self._limits.idle_seconds
        for key, pool in list(self._pools.items()):
            pool.prune(now)
            if not pool.in_use and not pool.idle:
                del self._pools[key]


def _head(method: str, url: Url, headers: Fields, body: Body) -> bytes:
    length = len(body) if isinstance(body, bytes) else body.length if isinstance(body, Sized) else None
    return request_head(method, url.target, url.authority, headers, length=length)


def _patience(headers: Headers, idle_seconds: float) -> float:
    """How long the connection may stay idle: at most what the server announced, less a second of travel."""
    if b"keep-alive" not in headers.index:
        return idle_seconds
    found = _KEEP_ALIVE.search(headers.index[b"keep-alive"])
    return idle_seconds if found is None else min(idle_seconds, int(found[1]) - 1.0)
