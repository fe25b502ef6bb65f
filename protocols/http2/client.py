"""Reach an HTTP/2 server: TCP or a Unix socket, TLS or plaintext with prior knowledge (RFC 9113, 3.3)."""

from __future__ import annotations

import ssl
from typing import cast

import msgspec
import trio

from protocols.http2.connection import Connection
from protocols.http2.errors import HandshakeFailed, Http2Error
from protocols.http2.limits import Limits
from protocols.http2.tls import shake_hands
from protocols.transport.refusal import system_words

# gRPC servers answer a client that pings more than every five minutes with GOAWAY (too_many_pings).
CLIENT_LIMITS = Limits(keepalive_seconds=330.0)


class Address(msgspec.Struct, frozen=True):
    """Where a server is: `host` and `port`, or the `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def authority(self) -> str:
        """What the :authority field says."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def connect(
    nursery: trio.Nursery, address: Address, *, tls: ssl.SSLContext | None = None, limits: Limits = CLIENT_LIMITS
) -> Connection:
    """A connection whose peer has sent its SETTINGS; it runs in `nursery` until closed or lost.

    Raises HandshakeFailed when the server cannot be reached within `limits.handshake_seconds`, or is none
    of ours.
    """
    with trio.move_on_after(limits.handshake_seconds):
        transport = await _dial(address, tls)
        connection = Connection(transport, limits, answer=None)
        nursery.start_soon(connection.run)
        try:
            await connection.established()
        except Http2Error as error:
            raise HandshakeFailed(f"{_name(address)} hung up before it spoke HTTP/2.") from error
        except trio.Cancelled:
            connection.close()
            raise
        return connection
    raise HandshakeFailed(f"{_name(address)} did not answer within {limits.handshake_seconds:g} s.")


async def _dial(address: Address, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    try:
        if address.path:
            socket = await trio.open_unix_socket(address.path)
        else:
            socket = await trio.open_tcp_stream(address.host, address.port)
    except OSError as error:
        raise HandshakeFailed(f"{_name(address)} cannot be reached: {system_words(error)}.") from error
    return socket if tls is None else await _secure(socket, tls, address)


async def _secure(socket: trio.SocketStream, tls: ssl.SSLContext, address: Address) -> trio.abc.Stream:
    stream = trio.SSLStream(socket, tls, server_hostname=address.host or "localhost", https_compatible=True)
    try:
        await shake_hands(stream)
    except BaseException:
        await trio.aclose_forcefully(socket)
        raise
    return cast("trio.abc.Stream", stream)


def _name(address: Address) -> str:
    return f"The server at {address.path or address.authority}"
