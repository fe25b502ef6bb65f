"""The opening handshake (RFC 6455, section 4), both sides. Pure."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha1

from protocols.errors import HandshakeRefused
from protocols.http1.headers import Headers
from protocols.http1.messages import Fields, Request
from protocols.http1.writer import field_lines, request_head
from protocols.urls import Url

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = "13"
# Whoever sends Upgrade says so in Connection, too (RFC 9110, section 7.8), which a 426 must (section 15.5.22).
UPGRADE: Fields = (("Upgrade", "websocket"), ("Connection", "Upgrade"))


def wants_websocket(request: Request) -> bool:
    """Tell whether the request asks for WebSocket, rightly or wrongly."""
    return request.headers.has_token("connection", "upgrade") and request.headers.has_token("upgrade", "websocket")


def offered_subprotocols(headers: Headers) -> list[str]:
    """Return the subprotocols named in the header, in the order of preference."""
    return [name for each in headers.get("sec-websocket-protocol").split(",") if (name := each.strip())]


def agree(request: Request, supported: tuple[str, ...]) -> tuple[str, str]:
    """Check an upgrade request; return the accept key and the chosen subprotocol ("" for none).

    Raises HandshakeRefused with the status to answer.
    """
    headers = request.headers
    if not wants_websocket(request) or request.method != "GET" or request.version != "1.1":
        raise HandshakeRefused(426, "This resource speaks WebSocket: send GET with Upgrade: websocket.")
    if headers.get("sec-websocket-version") != _VERSION:
        raise HandshakeRefused(426, "This server speaks WebSocket version 13.")
    key = headers.get_all("sec-websocket-key")
    if len(key) != 1 or not _is_key(key[0]):
        raise HandshakeRefused(400, "Sec-WebSocket-Key must be 16 bytes in base64, once.")
    if request.body:
        raise HandshakeRefused(400, "A request for WebSocket has no body.")
    chosen = next((name for name in offered_subprotocols(headers) if name in supported), "")
    return accept_key(key[0]), chosen


def accept_key(key: str) -> str:
    """Return the value that proves the server understood the key."""
    return base64.b64encode(sha1(key.encode("ascii") + _MAGIC, usedforsecurity=False).digest()).decode("ascii")


def switch_answer(accept: str, subprotocol: str, extra: Fields) -> bytes:
    """Return the 101 answer."""
    fields: Fields = (*UPGRADE, ("Sec-WebSocket-Accept", accept))
    if subprotocol:
        fields += (("Sec-WebSocket-Protocol", subprotocol),)
    return b"HTTP/1.1 101 Switching Protocols\r\n" + field_lines(fields) + field_lines(extra) + b"\r\n"


def upgrade_request(url: Url, key: str, subprotocols: tuple[str, ...], extra: Fields) -> bytes:
    """Return the client's request."""
    fields: Fields = (
        *UPGRADE,
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", _VERSION),
    )
    if subprotocols:
        fields += (("Sec-WebSocket-Protocol", ", ".join(subprotocols)),)
    return request_head("GET", url.target, url.authority, fields + extra, length=0)


def check_switch(status: int, headers: Headers, key: str, subprotocols: tuple[str, ...]) -> str:
    """Check the server's answer; return the subprotocol it chose. Raises HandshakeRefused."""
    if status != 101:
        raise HandshakeRefused(status, f"The server answered {status} instead of switching to WebSocket.")
    upgrades = headers.has_token("upgrade", "websocket") and headers.has_token("connection", "upgrade")
    if not upgrades or headers.get("sec-websocket-accept") != accept_key(key):
        raise HandshakeRefused(status, "The server's answer to the WebSocket handshake is not valid.")
    chosen = headers.get("sec-websocket-protocol")
    if "sec-websocket-extensions" in headers or (chosen and chosen not in subprotocols):
        raise HandshakeRefused(status, "The server chose a WebSocket subprotocol or extension we did not offer.")
    return chosen


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
