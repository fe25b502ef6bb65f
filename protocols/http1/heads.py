"""The two head parsers behind one signature: `bytes of one head -> Head`.

`httptools` reads a head in about 3 µs, `h11` in about 40. Everything that decides where a
message ends stands in `framing`, `chunked` and the readers and is shared, so the same bytes
get the same answer whichever is installed.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from protocols.http1.headers import RawFields


class Head(msgspec.Struct, frozen=True):
    """A request's first line and fields."""

    method: str
    target: str
    version: str
    fields: RawFields


class Status(msgspec.Struct, frozen=True):
    """A response's first line and fields."""

    status: int
    version: str
    fields: RawFields


class UnreadableHead(Exception):
    """The parser refuses a head that the grammar let through."""


ReadHead = Callable[[bytes], Head]
ReadStatus = Callable[[bytes], Status]


def best_read_head() -> ReadHead:
    """Return httptools' reader when it is installed, else h11's."""
    try:
        from protocols.http1.heads_httptools import read_head
    except ImportError:
        from protocols.http1.heads_h11 import read_head
    return read_head


def best_read_status() -> ReadStatus:
    """Return httptools' reader when it is installed, else h11's."""
    try:
        from protocols.http1.heads_httptools import read_status
    except ImportError:
        from protocols.http1.heads_h11 import read_status
    return read_status
