"""The client's end: a channel that grpclib's generated stubs work on unchanged.

A channel keeps one connection and opens another when a call needs one: at first, after a loss, after the
server went away. It does not retry calls; the caller knows whether a call may run twice.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import trio
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from protocols.grpc.client_call import ClientCall
from protocols.grpc.metadata import MetadataLike
from protocols.grpc.server import GrpcLimits
from protocols.http2.client import CLIENT_LIMITS, Address, connect
from protocols.http2.connection import Connection
from protocols.http2.errors import ConnectionLost, HandshakeFailed, StreamRefused
from protocols.http2.events import Headers
from protocols.http2.limits import Limits
from protocols.http2.stream import Stream

# A server that drains may refuse a stream before looking at it; a second new connection that does the same
# is an answer.
OPEN_ATTEMPTS = 3


class Moment(Protocol):
    """A deadline: grpclib's or ours."""

    def time_remaining(self) -> float: ...


class Channel:
    """Made by `open_channel`. `Any`: message types are whatever the generated code says."""

    def __init__(
        self, nursery: trio.Nursery, address: Address, *, tls: ssl.SSLContext | None, http2: Limits,
        limits: GrpcLimits, compress: bool, authority: str | None,
    ) -> None:  # fmt: skip
        self._nursery = nursery
        self._address = address
        self._tls = tls
        self._http2 = http2
        self._limits = limits
        self._compress = compress
        self._connection: Connection | None = None
        # One dial at a time: a queue of callers, each with its own deadline.
        self._dialing = trio.Lock()
        self._prelude: Headers = [
            (b":method", b"POST"),
            (b":scheme", b"https" if tls is not None else b"http"),
            (b":authority", (authority or address.authority).encode()),
        ]

    def request(
        self,
        name: str,
        cardinality: Cardinality,
        request_type: Any,
        reply_type: Any,
        *,
        timeout: float | None = None,
        deadline: Moment | None = None,
        metadata: MetadataLike | None = None,
    ) -> ClientCall:
        """What the generated stubs call. Nothing is sent before the call's first message."""
        ways = (timeout, None if deadline is None else deadline.time_remaining())
        remaining = [seconds for seconds in ways if seconds is not None]
        return ClientCall(
            self,
            name,
            cardinality,
            request_type,
            reply_type,
            at=trio.current_time() + min(remaining) if remaining else None,
            metadata=metadata,
            most_bytes=self._limits.max_message_bytes,
            compress=self._compress,
        )

    async def open_stream(self, path: str, headers: Headers, *, end: bool) -> tuple[Connection, Stream]:
        """A stream with its request headers sent; connects if need be. Raises GRPCError UNAVAILABLE."""
        whole = [*self._prelude, (b":path", path.encode()), *headers]
        refused: Exception | None = None
        for _ in range(OPEN_ATTEMPTS):
            connection = await self._connected()
            try:
                return connection, await connection.open(whole, end=end)
            except (StreamRefused, ConnectionLost) as error:
                refused = error
        raise GRPCError(Status.UNAVAILABLE, str(refused)) from refused

    def close(self) -> None:
        """Let running calls end and take no more."""
        if self._connection is not None:
            self._connection.close()

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.usable:
            return self._connection
        async with self._dialing:
            if self._connection is None or not self._connection.usable:
                try:
                    self._connection = await connect(self._nursery, self._address, tls=self._tls, limits=self._http2)
                except HandshakeFailed as error:
                    raise GRPCError(Status.UNAVAILABLE, str(error)) from error
            return self._connection


@asynccontextmanager
async def open_channel(
    host: str = "",
    port: int = 0,
    *,
    path: str = "",
    tls: ssl.SSLContext | None = None,
    http2: Limits = CLIENT_LIMITS,
    limits: GrpcLimits | None = None,
    compress: bool = False,
    authority: str | None = None,
) -> AsyncIterator[Channel]:
    """A channel to `host:port`, or to the Unix socket at `path`; plaintext unless `tls` is given.

    Connects with the first call. Calls end inside the block; what still runs at its end is cut after a
    moment. `authority` replaces the address in the request, for servers that serve several names.
    """
    # What the block raises leaves as it is; through the nursery it would arrive as a group.
    raised: Exception | None = None
    async with trio.open_nursery() as nursery:
        channel = Channel(
            nursery, Address(host, port, path), tls=tls, http2=http2, limits=limits or GrpcLimits(),
            compress=compress, authority=authority,
        )  # fmt: skip
        try:
            yield channel
        except Exception as error:
            raised = error
        finally:
            channel.close()
            nursery.cancel_scope.deadline = trio.current_time() + http2.farewell_seconds
    if raised is not None:
        raise raised
