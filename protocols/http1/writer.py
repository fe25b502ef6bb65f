"""Put answers and requests into bytes. Pure; refuses header fields that would split a message."""

from __future__ import annotations

import re
from functools import lru_cache

from protocols.errors import UnsafeHeader
from protocols.http1.messages import Fields
from protocols.http1.phrases import phrase

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"Connection: close\r\n"
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# RFC 9110 section 8.6: these answers carry neither a body nor a length.
_BODILESS = frozenset((204, 304))


@lru_cache(maxsize=128)
def status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {phrase(status, 'Status')}\r\n".encode("ascii")


@lru_cache(maxsize=512)
def field_lines(fields: Fields) -> bytes:
    """Return the fields as lines; raise UnsafeHeader. Cached: most answers repeat the same few sets."""
    return checked_lines(fields)


def checked_lines(fields: Fields) -> bytes:
    """Return fields that differ every time as lines, without filling the cache; raise UnsafeHeader."""
    if not fields:
        return b""
    names, values = zip(*fields, strict=True)
    # What is true of every character of each value is true of all of them in a row.
    if _VALUE.fullmatch("".join(values)) is None:
        raise UnsafeHeader(_unsafe(next(name for name, value in fields if _VALUE.fullmatch(value) is None)))
    return (_form(names) % values).encode("latin-1")


@lru_cache(maxsize=512)
def _form(names: tuple[str, ...]) -> str:
    """Return the lines of fields with these names, with a place for each value; raise UnsafeHeader."""
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise UnsafeHeader(_unsafe(name))
    return "".join([f"{name.replace('%', '%%')}: %s\r\n" for name in names])


def _unsafe(name: str) -> str:
    return f"The header field {name!r} cannot be sent: it has a forbidden character."


def answer_bytes(status: int, fields: Fields, body: bytes, *, extra: bytes = b"", to_head: bool = False) -> bytes:
    """Return a complete answer. `extra` are ready field lines, `to_head` leaves the body out."""
    if status in _BODILESS:
        return b"%b%b%b\r\n" % (status_line(status), field_lines(fields), extra)
    head = b"%b%b%bContent-Length: %d\r\n\r\n" % (status_line(status), field_lines(fields), extra, len(body))
    return head if to_head else head + body


def stream_head(status: int, fields: Fields, *, extra: bytes = b"", chunked: bool = True) -> bytes:
    """Return the head of an answer whose length is not known yet."""
    coding = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    return b"%b%b%b%b\r\n" % (status_line(status), field_lines(fields), extra, coding)


def request_head(method: str, target: str, host: str, fields: Fields, *, length: int | None) -> bytes:
    """Return a request's head; `length` None announces a chunked body. Raise UnsafeHeader."""
    body = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
    if length == 0 and method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        body = b""
    return b"%b%b%b\r\n" % (_request_start(method, target, host), checked_lines(fields), body)


@lru_cache(maxsize=512)
def _request_start(method: str, target: str, host: str) -> bytes:
    if _NAME.fullmatch(method) is None or not target.isascii() or not target.isprintable() or " " in target:
        raise UnsafeHeader("The method or the target of a request has a forbidden character.")
    return f"{method} {target} HTTP/1.1\r\n".encode("ascii") + checked_lines((("Host", host),))
