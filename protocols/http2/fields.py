"""Judge a list of header fields: is it a request, a response or trailers as HTTP/2 wants them? Pure.

RFC 9113, section 8.2 and 8.3. Each judge returns what is wrong, "" for nothing; a message that is malformed
is an error of its stream, not of the connection (section 8.1.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from protocols.http2.events import Headers

Judge = Callable[[Headers], str]

_NAME = re.compile(rb"[^\x00-\x20A-Z\x7f-\xff:]+").fullmatch
# NUL, CR and LF anywhere, blanks at either end.
_BAD_VALUE = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z").search
_CONNECTION_SPECIFIC = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
# Fields that were judged and found fine. Nine in ten are of these; it is the same for all connections what is fine.
_FOUND_FINE: set[tuple[bytes, bytes]] = set()
_MOST_FINE, _FINE_BYTES = 256, 256
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch


def request_fault(fields: Headers) -> str:
    """Judge a request's head."""
    pseudo, fault = _split(fields, _REQUEST_PSEUDO)
    if fault:
        return fault
    method = pseudo.get(b":method")
    if not method:
        return "a request without :method"
    authority = pseudo.get(b":authority")
    if method == b"CONNECT":
        return "" if authority and len(pseudo) == 2 else "a CONNECT that names more or less than :authority"
    if not pseudo.get(b":scheme") or not pseudo.get(b":path"):
        return "a request without :scheme or :path"
    hosts = [value for name, value in fields if name == b"host"]
    if authority is None:
        return "" if len(hosts) == 1 else "a request that does not name its host once"
    return "" if all(host.lower() == authority.lower() for host in hosts) else "a host that differs from :authority"


def response_fault(fields: Headers) -> str:
    """Judge a response's head, informational or final."""
    pseudo, fault = _split(fields, frozenset({b":status"}))
    if fault:
        return fault
    status = pseudo.get(b":status", b"")
    return "" if len(status) == 3 and status.isdigit() and status != b"101" else "a response without a valid :status"


def trailers_fault(fields: Headers) -> str:
    """Judge what follows a body."""
    return _split(fields, frozenset())[1]


def content_length(fields: Headers) -> int | None:
    """Return what a message says about its own length, None for nothing, -1 for nonsense."""
    said = {value for name, value in fields if name == b"content-length"}
    if not said:
        return None
    value = said.pop()
    return int(value) if not said and _LENGTH(value) else -1


def _split(fields: Headers, known: frozenset[bytes]) -> tuple[dict[bytes, bytes], str]:
    pseudo: dict[bytes, bytes] = {}
    plain = False
    for name, value in fields:
        if name[:1] == b":":
            if plain or name in pseudo or name not in known:
                return pseudo, "a pseudo-header field that is unknown, repeated, or late"
            pseudo[name] = value
        else:
            plain = True
            if (name, value) in _FOUND_FINE:
                continue
            if not _NAME(name) or name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
                return pseudo, "a field name that HTTP/2 forbids"
        if _BAD_VALUE(value):
            return pseudo, "a field value with a line break, NUL, or a blank at its end"
        if plain:
            _remember(name, value)
    return pseudo, ""


def _remember(name: bytes, value: bytes) -> None:
    if len(name) + len(value) <= _FINE_BYTES:
        if len(_FOUND_FINE) >= _MOST_FINE:
            _FOUND_FINE.clear()
        _FOUND_FINE.add((name, value))
