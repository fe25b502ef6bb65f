"""Open a WebSocket connection to a server."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from protocols.errors import HandshakeRefused, HttpClientError, NothingSent
from protocols.http1.heads import best_read_status
from protocols.http1.messages import Fields
from protocols.http1.response_reader import ResponseReader
from protocols.http_client.connect import AddressVet, Connector
from protocols.http_client.exchange import Outgoing, transact
from protocols.http_client.limits import ClientLimits
from protocols.transport.pipes import Pipe
from protocols.transport.stream import PipeStream
from protocols.urls import parse_url
from protocols.websocket.closing import farewell
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.handshake import check_switch, upgrade_request
from protocols.websocket.limits import WebSocketLimits


@asynccontextmanager
async def open_websocket(
    url: str,
    *,
    headers: Fields = (),
    subprotocols: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
    vet: AddressVet | None = None,
    unix_path: Path | None = None,
    limits: WebSocketLimits | None = None,
) -> AsyncIterator[WebSocketConnection]:
    """Connect to a ws:// or wss:// URL and yield the connection; close it on leaving.

    Raises NothingSent when there is no connection, HandshakeRefused when the server does not
    switch or is too slow.
    """
    bounds = limits or WebSocketLimits()
    connector = Connector(ClientLimits(), tls, vet, unix_path)
    connection: WebSocketConnection | None = None
    with trio.move_on_after(bounds.handshake_seconds):
        connection = await _connect(connector, url, headers, subprotocols, bounds)
    if connection is None:
        raise HandshakeRefused(0, f"The server did not switch to WebSocket in {bounds.handshake_seconds:g} s.")
    async with farewell(connection):
        yield connection


async def _connect(
    connector: Connector, url: str, headers: Fields, subprotocols: tuple[str, ...], limits: WebSocketLimits
) -> WebSocketConnection:
    place = parse_url(url)
    key = base64.b64encode(os.urandom(16)).decode("ascii")
    request = upgrade_request(place, key, subprotocols, headers)
    pipe = await connector.open(place)
    try:
        tail, chosen = await _shake_hands(pipe, request, key, subprotocols)
    except BaseException:
        pipe.close()
        raise
    stream = PipeStream(pipe, tail=tail)
    return WebSocketConnection(stream, server=False, subprotocol=chosen, limits=limits)


async def _shake_hands(pipe: Pipe, request: bytes, key: str, subprotocols: tuple[str, ...]) -> tuple[bytes, str]:
    """Return what followed the server's 101, and the subprotocol it chose."""
    # A refusal's body is of no interest; the bound keeps it small.
    reader = ResponseReader(best_read_status(), body_bytes=None)
    try:
        await transact(pipe, Outgoing(request, b"", None), reader)
    except NothingSent:
        raise
    except HttpClientError as error:
        raise HandshakeRefused(0, f"The WebSocket handshake failed: {error}") from error
    return reader.tail, check_switch(reader.status, reader.headers, key, subprotocols)
