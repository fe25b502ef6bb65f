"""The bounds of a WebSocket connection, each with its reason."""

from __future__ import annotations

import msgspec


class WebSocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one peer may cost us."""

    # Chat messages are a few KB; files travel by URL. Bounds what one connection can make us hold.
    message_bytes: int = 1024 * 1024
    # Unsent bytes above which `send` waits for a slow peer.
    high_water_bytes: int = 64 * 1024
    # How long we wait for the peer's half of the closing handshake.
    close_seconds: float = 2.0
    # From the TCP connection to the 101, for connections that we open.
    handshake_seconds: float = 10.0
