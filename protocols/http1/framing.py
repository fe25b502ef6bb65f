"""Decide from a head where its message ends (RFC 9112, section 6), and refuse what is ambiguous.

Pure. Ambiguity is what request smuggling lives on, so there is one accepted way to say each
thing: one Content-Length of digits, or `Transfer-Encoding: chunked`, never both.
"""

from __future__ import annotations

import re
from typing import Final

from protocols.errors import Refusal
from protocols.http1.headers import Headers, lists_token
from protocols.http1.heads import Head

CHUNKED: Final = -1
_HOST = re.compile(rb"[A-Za-z0-9.\-_~!$&'()*+,;=%\[\]:]*")
# 19 digits fit into 64 bits whatever they are; llhttp and h11 differ above that.
MOST_DIGITS = 19
_ALONE = frozenset((b"host", b"content-length", b"transfer-encoding"))


def request_length(head: Head, headers: Headers) -> int:
    """Return the body's length or CHUNKED; raise Refusal 400 or 417."""
    index = headers.index
    if headers.repeated is not None and not _ALONE.isdisjoint(headers.repeated):
        raise Refusal(400, "Host, Content-Length and Transfer-Encoding may each stand once.")
    if b"host" not in index:
        if head.version == "1.1":
            raise Refusal(400, "A request in HTTP/1.1 must carry a Host field.")
    elif _HOST.fullmatch(index[b"host"]) is None:
        raise Refusal(400, "The Host field is not a host name with an optional port.")
    length = _chunked_only(index, head.version) if b"transfer-encoding" in index else _number(index)
    if b"expect" in index and index[b"expect"].lower() != b"100-continue":
        raise Refusal(417, "The only expectation this server knows is 100-continue.")
    return length


def wants_to_stay(version: str, headers: Headers) -> bool:
    """Tell whether the connection is kept after this message. HTTP/1.0 is never kept."""
    if version != "1.1":
        return False
    index = headers.index
    return b"connection" not in index or not lists_token(index[b"connection"], b"close")


def _number(index: dict[bytes, bytes]) -> int:
    if b"content-length" not in index:
        return 0
    digits = index[b"content-length"]
    if not digits.isdigit() or len(digits) > MOST_DIGITS:
        raise Refusal(400, "Content-Length must be one number.")
    return int(digits)


def _chunked_only(index: dict[bytes, bytes], version: str) -> int:
    if b"content-length" in index:
        raise Refusal(400, "Content-Length and Transfer-Encoding exclude each other.")
    if version != "1.1":
        raise Refusal(400, "HTTP/1.0 knows no Transfer-Encoding.")
    if index[b"transfer-encoding"].lower() != b"chunked":
        raise Refusal(400, "The only accepted Transfer-Encoding is chunked.")
    return CHUNKED
