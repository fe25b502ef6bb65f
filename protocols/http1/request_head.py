"""What the head of a request says, or the one Refusal that it deserves (RFC 9112, sections 2 to 7).

Pure, and no limit of a server's is asked here: the same bytes mean the same on every connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from protocols.errors import Refusal
from protocols.http1.framing import CHUNKED, request_length, wants_to_stay
from protocols.http1.grammar import diagnosis, has_odd_coding, is_request_head
from protocols.http1.headers import Headers
from protocols.http1.heads import ReadHead, UnreadableHead
from protocols.http1.recall import recalled


class RequestHead(msgspec.Struct, frozen=True):
    """A request without its body. `length`: of the body in bytes, or CHUNKED. `stays`: the connection is kept."""

    method: str
    target: str
    path: str
    query: str
    version: str
    headers: Headers
    length: int
    expects_continue: bool
    stays: bool


@lru_cache(maxsize=8)
def understanding(read_head: ReadHead) -> Callable[[bytes], RequestHead]:
    """Return what understands whole heads, up to and with the empty line; it raises Refusal 400, 417, 501 or 505."""

    def understand(head: bytes) -> RequestHead:
        if not is_request_head(head):
            raise diagnosis(head)
        try:
            parsed = read_head(head)
        except UnreadableHead as error:
            raise Refusal(400, "The head is malformed.") from error
        target, version, headers = parsed.target, parsed.version, Headers(parsed.fields)
        if target == "*" and parsed.method != "OPTIONS":
            raise Refusal(400, "The target * is for OPTIONS.")
        length = request_length(parsed, headers)
        if length == CHUNKED and has_odd_coding(head):
            raise Refusal(400, "The Transfer-Encoding field has a tab behind its coding.")
        path, _, query = (target if target[0] == "/" else _origin_form(target)).partition("?")
        return RequestHead(
            method=parsed.method,
            target=target,
            path=path,
            query=query,
            version=version,
            headers=headers,
            length=length,
            expects_continue=bool(length) and version == "1.1" and b"expect" in headers.index,
            stays=wants_to_stay(version, headers),
        )

    return recalled(understand)


def _origin_form(target: str) -> str:
    if target == "*":
        return target
    rest = target.partition("://")[2]
    start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    return rest[start:] if rest[start : start + 1] == "/" else "/" + rest[start:]
