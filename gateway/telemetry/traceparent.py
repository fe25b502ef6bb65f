"""Read and write the `traceparent` header (W3C Trace Context, level 1). Pure.

An envelope carries the header's text; a call that the gateway makes for it carries a child
of it, so that the operator's tracing tool shows both in one tree.
"""

from __future__ import annotations

import re

from msgspec import Struct

# Version ff is forbidden, and so are ids of zeros only (sections 2.2.2 and 2.2.3).
_HEADER = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?", re.ASCII
)


class Traceparent(Struct, frozen=True):
    """One position in a trace: 32 and 16 lower-case hex digits, and whether the caller records it."""

    trace_id: str
    span_id: str
    sampled: bool = False

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse(header: str) -> Traceparent | None:
    """Read a header; None for anything malformed, which the standard tells us to ignore."""
    match = _HEADER.fullmatch(header.strip(" \t"))
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return Traceparent(match[2], match[3], bool(int(match[4], 16) & 1))


def begin(randomness: bytes) -> Traceparent:
    """Begin a trace of our own from 24 random bytes. Not sampled: nobody has asked to record it."""
    return Traceparent(_not_zero(randomness[:16]), _not_zero(randomness[16:24]))


def child(parent: Traceparent, randomness: bytes) -> Traceparent:
    """Return the position of a call made on behalf of `parent`, from 8 random bytes."""
    return Traceparent(parent.trace_id, _not_zero(randomness[:8]), parent.sampled)


def _not_zero(part: bytes) -> str:
    return (part if any(part) else b"\x01" * len(part)).hex()
