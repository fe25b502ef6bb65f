"""Notice a WebSocket peer that has vanished without a word."""

from __future__ import annotations

import trio

from protocols.errors import WebSocketClosed
from protocols.websocket.connection import WebSocketConnection


async def keep_alive(connection: WebSocketConnection, *, every_seconds: float) -> None:
    """Ping a silent peer; abort the connection after two silent intervals. Returns when it is over.

    Some task must be receiving, else the peer's pongs are never read.
    """
    while connection.closed is None:
        await trio.sleep(every_seconds)
        silent = trio.current_time() - connection.heard_at
        if silent >= 2 * every_seconds:
            connection.abort()
            return
        if silent >= every_seconds:
            try:
                with trio.move_on_after(every_seconds):
                    await connection.ping()
            except WebSocketClosed:
                return
