"""The values that cross the border of this package: Peer, Request, Response."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec

from protocols.http1.headers import Headers

Fields = tuple[tuple[str, str], ...]


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end: an IP address and port, or a Unix socket (`host` is then empty)."""

    host: str
    port: int = 0

    @property
    def is_unix(self) -> bool:
        return not self.host

    @property
    def is_loopback(self) -> bool:
        """True for 127.0.0.0/8, ::1, the same mapped into IPv6, and for Unix sockets."""
        if not self.host:
            return True
        address = ip_address(self.host.partition("%")[0])
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class Request(msgspec.Struct, frozen=True):
    """One complete request. `path` and `query` are as sent, not percent-decoded: see `urls`."""

    method: str
    target: str
    path: str
    query: str
    version: str
    headers: Headers
    body: bytes
    peer: Peer
    secure: bool = False
    keep_alive: bool = True


class Response(msgspec.Struct, frozen=True):
    """One complete answer. Content-Length, Date and Connection are added when it is sent."""

    status: int
    headers: Fields = ()
    body: bytes = b""
