"""Close a WebSocket connection with the code that fits how its block was left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from protocols.errors import WebSocketClosed
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.machine import GOING_AWAY, NORMAL, SERVER_ERROR

# Longer than the peer's half of the closing handshake may take, so that the inner bound decides.
_FAREWELL_SECONDS = 5.0


@asynccontextmanager
async def farewell(connection: WebSocketConnection) -> AsyncIterator[None]:
    """Close with 1000 when the block ends, 1011 when it fails, 1001 when it is cancelled."""
    code = GOING_AWAY
    try:
        try:
            yield
        except trio.BrokenResourceError as error:
            connection.abort()
            raise WebSocketClosed(1006, "the connection broke") from error
        code = NORMAL
    except Exception:
        code = SERVER_ERROR
        raise
    finally:
        with trio.move_on_after(_FAREWELL_SECONDS, shield=True):
            await connection.close(code)
