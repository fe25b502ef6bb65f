"""The bounds of the HTTP client, each with its reason."""

from __future__ import annotations

import msgspec


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may use, and what one server may cost us."""

    # Four outbox writers with a few requests each; most servers dislike more from one address.
    connections_per_origin: int = 32
    # Idle connections of all origins together: descriptors are shared with the server.
    idle_connections: int = 128
    # Node closes idle connections after 5 s: stay below, or a request meets a closing connection.
    idle_seconds: float = 4.0
    # For one address of a name; the next is tried after that. A SYN is repeated after 1 and 3 s.
    connect_seconds: float = 5.0
    # A long model answer is some 100 KB; media beyond this is read as a stream.
    body_bytes: int = 16 * 1024 * 1024
    # getaddrinfo blocks a thread for as long as the resolver takes.
    resolver_threads: int = 4
