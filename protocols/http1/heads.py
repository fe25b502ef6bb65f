"""Three ways to read a head behind one signature: `bytes of one head -> Head`.

`plain` serves; `httptools` and `h11` are what it is judged by. Everything that decides where a
message ends stands in `grammar`, `framing`, `chunked` and the readers and is shared, so the same
bytes get the same answer whichever reads.
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
    """Return the reader that costs least."""
    from protocols.http1.heads_plain import read_head

    return read_head


def best_read_status() -> ReadStatus:
    """Return the reader that costs least."""
    from protocols.http1.heads_plain import read_status

    return read_status
