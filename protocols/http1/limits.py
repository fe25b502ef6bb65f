"""The bounds of the HTTP server, each with its reason. All may be set by the operator."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may cost us before it is refused."""

    # Browsers with many cookies send about 8 KiB; twice the usual server default leaves room for tokens.
    head_bytes: int = 32 * 1024
    # A browser sends about 25 fields, a proxy chain adds a dozen.
    head_fields: int = 100
    # The longest target in practice is a search query; RFC 9112 section 3 asks for at least 8000 octets.
    target_bytes: int = 8 * 1024
    # The largest body of a chat platform's webhook is far below; media arrives by URL.
    body_bytes: int = 4 * 1024 * 1024
    # Given a request's target: how long its body may be besides, for what is known to be longer; 0 says nothing.
    longer_bodies: Callable[[str], int] | None = None
    # What a pipelining client may send ahead while its request is being answered: one full read.
    pipelined_bytes: int = 64 * 1024
    # Each idle connection costs about 1 KB here, some in the kernel and a descriptor; keep below `ulimit -n`.
    connections: int = 4096
    # A reverse proxy is one address, so this stays near the total; lower it on an open port.
    connections_per_address: int = 2048
    # Bytes a stream may have waiting for a slow reader before its sender is parked.
    stream_high_water: int = 64 * 1024

    # A TLS handshake takes three round trips; a phone on a bad line does one in a second.
    handshake_seconds: float = 10.0
    # From a request's first byte to the end of its head: one packet for honest clients.
    head_seconds: float = 10.0
    # From the head to the last byte of the body: 4 MiB at 140 KB/s.
    body_seconds: float = 30.0
    # Between requests on a kept connection. Above the 60 s of common proxies, so that they close first.
    idle_seconds: float = 75.0
    # How long a reader may take for what stands in the buffer, plus its size at `slowest_bytes_per_second`.
    write_seconds: float = 15.0
    slowest_bytes_per_second: int = 16 * 1024
    # After the last answer we still read and discard, so that a reset does not eat the answer in flight.
    linger_seconds: float = 2.0
    # What running exchanges get when the hub is told to end.
    drain_seconds: float = 20.0
    # The sweeper's step: every deadline above is kept to within this much.
    sweep_seconds: float = 0.5
