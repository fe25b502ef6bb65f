"""What the head of an answer says, or why it is none (RFC 9112, section 6.3).

Pure. What hangs on the request as well (was it a HEAD?) and on the body's bound is left to the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from protocols.errors import BadAnswer
from protocols.http1.framing import MOST_DIGITS, wants_to_stay
from protocols.http1.grammar import is_response_head
from protocols.http1.headers import Headers, lists_token
from protocols.http1.heads import ReadStatus, UnreadableHead
from protocols.http1.recall import recalled

SWITCHING_PROTOCOLS = 101


class AnswerHead(msgspec.Struct, frozen=True):
    """An answer without its body. `length`: of the body in bytes, None where none is announced. `stays`: it is kept."""

    status: int
    headers: Headers
    length: int | None
    is_chunked: bool
    stays: bool


@lru_cache(maxsize=8)
def understanding(read_status: ReadStatus) -> Callable[[bytes], AnswerHead]:
    """Return what understands whole heads, interim ones as well; it raises BadAnswer."""

    def understand(head: bytes) -> AnswerHead:
        if not is_response_head(head):
            raise BadAnswer("The answer is not HTTP/1.1.")
        try:
            read = read_status(head)
        except UnreadableHead as error:
            raise BadAnswer("The head of the answer is malformed.") from error
        headers = Headers(read.fields)
        announced = headers.index.get(b"content-length")
        if announced is not None and (not announced.isdigit() or len(announced) > MOST_DIGITS):
            raise BadAnswer("The answer's Content-Length is not one number.")
        if read.status == SWITCHING_PROTOCOLS and not _names_protocol(headers):
            raise BadAnswer("The server switches to a protocol that it does not name.")
        coding = headers.index.get(b"transfer-encoding")
        is_final = read.status >= 200 or read.status == SWITCHING_PROTOCOLS
        if is_final and coding is not None and (coding.lower() != b"chunked" or announced is not None):
            raise BadAnswer("The answer's Transfer-Encoding is ambiguous or unknown.")
        return AnswerHead(
            status=read.status,
            headers=headers,
            length=None if announced is None else int(announced),
            is_chunked=coding is not None,
            stays=wants_to_stay(read.version, headers),
        )

    return recalled(understand)


def _names_protocol(headers: Headers) -> bool:
    index = headers.index
    return bool(index.get(b"upgrade")) and lists_token(index.get(b"connection", b""), b"upgrade")
