"""Notice a WebSocket peer that has vanished without a word."""

from __future__ import annotations

import trio

from protocols.errors import WebSocketClosed
from protocols.websocket.connection import WebSocketConnection


async def keep_alive(connection: WebSocketConnection, *, every_seconds: float) -> None:
    """Ping a peer that is silent; abort the connection when it is as long again. Returns when it is over.

    Some task must be receiving, else the peer's pongs are never read.
    """
    while connection.closed is None:
        heard_at = connection.heard_at
        await trio.sleep_until(heard_at + every_seconds)
        if connection.heard_at > heard_at:
            continue
        # Counted from the ping, not from the silence: a loop that wakes late must not take a peer for gone unasked.
        patience_ends = trio.current_time() + every_seconds
        try:
            with trio.move_on_at(patience_ends):
                await connection.ping()
        except WebSocketClosed:
            return
        await trio.sleep_until(patience_ends)
        if connection.heard_at == heard_at:
            connection.abort()
            return
