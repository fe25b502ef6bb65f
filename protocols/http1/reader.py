"""The server's machine: bytes in, complete requests out, or one Refusal.

Pure. It holds at most a head, a body and what the client sent ahead, each bounded by the
limits; the answer to given bytes does not depend on how they were cut into reads. After a
Refusal, and after a request that ends the connection, it takes nothing more.
"""

from __future__ import annotations

from enum import Enum

from protocols.errors import Refusal
from protocols.http1.chunked import BadChunks, ChunkedBody
from protocols.http1.framing import CHUNKED
from protocols.http1.grammar import has_bare_break
from protocols.http1.heads import ReadHead
from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Peer, Request
from protocols.http1.request_head import RequestHead, understanding


class Phase(Enum):
    """Where the reader stands: which deadline applies hangs on it."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"


# Python looks up a class's member ten times slower than a name.
_IDLE, _HEAD, _BODY = Phase.IDLE, Phase.HEAD, Phase.BODY


class RequestReader:
    """One per connection. `feed` bytes, then call `next_request` until it returns None."""

    __slots__ = ("_chunks", "_head", "_limits", "_most", "_over", "_parts", "_peer", "_searched", "_secure",
                 "_small", "_understand", "_wanted", "buffered", "expects_continue", "phase")  # fmt: skip

    def __init__(self, read_head: ReadHead, limits: HttpLimits, peer: Peer, *, secure: bool = False) -> None:
        self._understand = understanding(read_head)
        self._limits = limits
        # A field takes four bytes at least, and no bound on bytes is that low: nothing to check up to here.
        self._small = 4 * limits.head_fields
        self._peer = peer
        self._secure = secure
        # What waits and belongs to no finished request.
        self.buffered = b""
        self._searched = 0
        self._head: RequestHead | None = None
        self._chunks: ChunkedBody | None = None
        self._parts: list[bytes] = []
        self._wanted = self._most = 0
        self._over = False
        self.expects_continue = False
        self.phase = _IDLE

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire. Nothing is looked at before `next_request`."""
        if not self._over:
            self.buffered = self.buffered + data if self.buffered else data

    def next_request(self) -> Request | None:
        """Return the next complete request, None when bytes are missing; raise Refusal."""
        if not self.buffered and self.phase is not _BODY:
            return None
        try:
            if self._head is None and not self._take_head():
                return None
            if not self._take_body():
                return None
        except Refusal:
            self._over, self.buffered = True, b""
            raise
        return self._complete()

    @property
    def body_begun(self) -> bool:
        """Tell whether any byte of the body has arrived."""
        return bool(self._parts and any(self._parts)) or bool(self.buffered)

    def starts_with(self, preface: bytes) -> bool | None:
        """Tell whether the buffered bytes begin with `preface`; None while that cannot be known."""
        if len(self.buffered) >= len(preface):
            return self.buffered.startswith(preface)
        if not preface.startswith(self.buffered):
            return False
        if self.buffered:
            self.phase = _HEAD
        return None

    def take_tail(self) -> bytes:
        """Give up what was read beyond the last request, for a protocol that takes over."""
        tail, self.buffered, self._over = self.buffered, b"", True
        return tail

    def _take_head(self) -> bool:
        buffer = self.buffered
        if buffer[:1] in (b"\r", b"\n"):
            # RFC 9112 section 2.2 lets a server skip an empty line before a request.
            if not buffer.startswith(b"\r\n"):
                if buffer == b"\r":
                    return False
                raise Refusal(400, "The head has a line end other than CR LF.")
            buffer = self.buffered = buffer[2:]
        end = buffer.find(b"\r\n\r\n", self._searched)
        if end < 0:
            self._check_unfinished(buffer)
            return False
        end += 4
        self._read(buffer[:end])
        self.buffered = buffer[end:]
        self._searched = 0
        return True

    def _check_unfinished(self, buffer: bytes) -> None:
        if buffer:
            self.phase = _HEAD
        if len(buffer) > self._small:
            self._check_head_size(buffer, 0)
        if has_bare_break(buffer, max(0, self._searched - 1)):
            raise Refusal(400, "The head has a line end other than CR LF.")
        self._searched = max(0, len(buffer) - 3)

    def _check_head_size(self, head: bytes, line_end: int) -> None:
        limits = self._limits
        line = line_end or (head.find(b"\r\n") if len(head) > limits.target_bytes else 0)
        if line < 0 or line > limits.target_bytes + 32:
            raise Refusal(414, f"The request target may have at most {limits.target_bytes} bytes.")
        if len(head) > limits.head_bytes:
            raise Refusal(431, f"The head may have at most {limits.head_bytes} bytes.")
        if head.count(b"\r\n") > limits.head_fields + 2:
            raise Refusal(431, f"The head may have at most {limits.head_fields} fields.")

    def _read(self, head: bytes) -> None:
        if len(head) > self._small:
            self._check_head_size(head, head.find(b"\r\n"))
        self._head = understood = self._understand(head)
        wanted = self._wanted = understood.length
        if wanted:
            if wanted == CHUNKED or wanted > self._limits.body_bytes:
                self._bound(understood.target, wanted)
            self.expects_continue = understood.expects_continue
            if wanted == CHUNKED:
                self._chunks, self._wanted = ChunkedBody(), 0
        self.phase = _BODY

    def _bound(self, target: str, wanted: int) -> None:
        """Find out how long this body may be; raise Refusal when it says that it is longer."""
        limits = self._limits
        self._most = limits.body_bytes
        if limits.longer_bodies is not None:
            self._most = max(self._most, limits.longer_bodies(target))
        if wanted > self._most:
            raise self._too_long()

    def _too_long(self) -> Refusal:
        return Refusal(413, f"The body may have at most {self._most} bytes.")

    def _take_body(self) -> bool:
        if self._chunks is not None:
            return self._take_chunks(self._chunks)
        if not self._wanted:
            return True
        piece = self.buffered[: self._wanted]
        self.buffered = self.buffered[self._wanted :]
        self._wanted -= len(piece)
        self._parts.append(piece)
        return not self._wanted

    def _take_chunks(self, chunks: ChunkedBody) -> bool:
        try:
            chunks.feed(self.buffered)
        except BadChunks as error:
            raise Refusal(400, str(error)) from error
        self.buffered = chunks.rest
        piece = chunks.take()
        self._wanted -= len(piece)
        if -self._wanted > self._most:
            raise self._too_long()
        self._parts.append(piece)
        if chunks.finished:
            self._wanted = 0
        return chunks.finished

    def _complete(self) -> Request:
        head = self._head
        assert head is not None
        self._head, self._chunks, self.phase, self.expects_continue = None, None, _IDLE, False
        parts, body = self._parts, b""
        if parts:
            self._parts = []
            body = parts[0] if len(parts) == 1 else b"".join(parts)
        return Request(
            head.method,
            head.target,
            head.path,
            head.query,
            head.version,
            head.headers,
            body,
            self._peer,
            self._secure,
            head.stays,
        )
