"""Take a WebSocket connection over from the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protocols.errors import HandshakeRefused
from protocols.http1.messages import Fields
from protocols.hub.exchange import Exchange
from protocols.problem import problem
from protocols.websocket.closing import farewell
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.handshake import UPGRADE, agree, switch_answer
from protocols.websocket.limits import WebSocketLimits


@asynccontextmanager
async def accept_websocket(
    exchange: Exchange,
    *,
    subprotocols: tuple[str, ...] = (),
    headers: Fields = (),
    limits: WebSocketLimits | None = None,
) -> AsyncIterator[WebSocketConnection]:
    """Answer 101 and yield the connection; close it on leaving (1000, or 1011 after an error, 1001 cancelled).

    Raises HandshakeRefused, having answered the exchange, when the request is not a valid one, and
    ClientGone. Whether the request's Origin is welcome must be decided before.
    """
    try:
        accept, chosen = agree(exchange.request, subprotocols)
    except HandshakeRefused as refused:
        extra: Fields = (*UPGRADE, ("Sec-WebSocket-Version", "13"))
        exchange.answer(problem(refused.status, refused.detail, headers=extra))
        raise
    answer = switch_answer(accept, chosen, headers)
    stream = exchange.upgrade()
    connection = WebSocketConnection(stream, server=True, subprotocol=chosen, limits=limits)
    async with farewell(connection):
        await stream.send_all(answer)
        yield connection
