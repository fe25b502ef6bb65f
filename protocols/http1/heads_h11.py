"""Read a head with h11, the parser in pure Python that is always installed."""

from __future__ import annotations

import re

import h11

from protocols.http1.heads import Head, Status, UnreadableHead

# h11 merges "5, 5" and repeated equal lengths into one; we must see what was sent (RFC 9112, section 6.3).
_LENGTHS = re.compile(rb"(?i)\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r\n)")
_PLAIN_GET = h11.Request(method="GET", target="/", headers=[("Host", "x")])


def read_head(head: bytes) -> Head:
    """Parse one whole request head; raise UnreadableHead when h11 will not have it."""
    _refuse_odd_lengths(head)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise UnreadableHead(str(error)) from error
    if not isinstance(event, h11.Request):
        raise UnreadableHead("This is not a request.")
    target = event.target.decode("latin-1")
    return Head(event.method.decode("latin-1"), target, event.http_version.decode("latin-1"), _fields(event))


def read_status(head: bytes) -> Status:
    """Parse one whole response head; raise UnreadableHead when h11 will not have it."""
    _refuse_odd_lengths(head)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(head) + 1)
    connection.send(_PLAIN_GET)
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise UnreadableHead(str(error)) from error
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise UnreadableHead("This is not a response.")
    return Status(event.status_code, event.http_version.decode("latin-1"), _fields(event))


def _fields(event: h11.Request | h11.Response | h11.InformationalResponse) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]


def _refuse_odd_lengths(head: bytes) -> None:
    lengths = _LENGTHS.findall(head)
    if len(lengths) > 1 or any(not length.isdigit() for length in lengths):
        raise UnreadableHead("Content-Length must be one number.")
