"""The client's machine: bytes in, one answer out (RFC 9112, section 6.3).

Pure. Feed it what arrives and b"" for the end; take the body in pieces or whole. Interim
answers (1xx) are skipped, 101 is final and leaves what follows in `tail`.
"""

from __future__ import annotations

from protocols.errors import AnswerTooLarge, BadAnswer, UnknownAfterSend
from protocols.http1.answer_head import SWITCHING_PROTOCOLS, AnswerHead, understanding
from protocols.http1.chunked import BadChunks, ChunkedBody
from protocols.http1.headers import Headers
from protocols.http1.heads import ReadStatus

_UNTIL_CLOSE = -2
_CHUNKED = -1
# An answer's cookies and policies can be long; browsers stop at 256 KiB.
_HEAD_BYTES = 128 * 1024
# A server that sends more interim answers than this is not going to answer.
_MOST_INTERIM = 8
_NONE = Headers([])
_TOO_LARGE = "The answer's body is larger than allowed."


class ResponseReader:
    """One per request. `status` is 0 until the head has been read."""

    __slots__ = ("_buffer", "_chunks", "_interim", "_left", "_most", "_parts", "_to_head", "_understand",
                 "begun", "finished", "headers", "reusable", "status", "tail")  # fmt: skip

    def __init__(self, read_status: ReadStatus, *, body_bytes: int | None, to_head: bool = False) -> None:
        self._understand = understanding(read_status)
        self._most = body_bytes
        self._to_head = to_head
        self._buffer = b""
        self._chunks: ChunkedBody | None = None
        self._parts: list[bytes] = []
        self._left = 0
        self._interim = 0
        self.begun = False
        self.finished = False
        self.reusable = False
        self.status = 0
        self.headers = _NONE
        self.tail = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes, b"" at the end; raise UnknownAfterSend, BadAnswer or AnswerTooLarge."""
        if not data:
            self._end()
            return
        self.begun = True
        if not self.status:
            data = self._take_head(self._buffer + data if self._buffer else data)
        if self.status and data:
            self._take_body(data)

    def take(self) -> bytes:
        """Return the part of the body that arrived since the last call."""
        parts = self._parts
        if not parts:
            return b""
        self._parts = []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take_head(self, data: bytes) -> bytes:
        """Read the head out of `data` and return what follows it."""
        while not self.status:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > _HEAD_BYTES:
                if len(data) > _HEAD_BYTES:
                    raise BadAnswer("The head of the answer is too long.")
                self._buffer = data
                return b""
            self._read(data[:end])
            data = data[end:]
        self._buffer = b""
        return data

    def _read(self, head: bytes) -> None:
        understood = self._understand(head)
        status = understood.status
        if status < 200 and status != SWITCHING_PROTOCOLS:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BadAnswer("The server sends interim answers and no final one.")
            return
        self.status, self.headers, self.reusable = status, understood.headers, understood.stays
        self._left = self._length(understood)
        if self._left == 0:
            self.finished = True

    def _length(self, head: AnswerHead) -> int:
        if self._to_head or head.status in (204, 304, SWITCHING_PROTOCOLS):
            return 0
        if head.is_chunked:
            self._chunks = ChunkedBody()
            return _CHUNKED
        if head.length is None:
            self.reusable = False
            return _UNTIL_CLOSE
        if self._most is not None and head.length > self._most:
            raise AnswerTooLarge(_TOO_LARGE)
        return head.length

    def _take_body(self, data: bytes) -> None:
        if self.finished:
            self.tail += data
        elif self._chunks is not None:
            self._take_chunks(self._chunks, data)
        elif self._left == _UNTIL_CLOSE:
            self._keep(data)
        elif len(data) >= self._left:
            self._parts.append(data[: self._left])
            self.tail = data[self._left :]
            self.finished = True
        else:
            self._parts.append(data)
            self._left -= len(data)

    def _take_chunks(self, chunks: ChunkedBody, data: bytes) -> None:
        try:
            chunks.feed(data)
        except BadChunks as error:
            raise BadAnswer(str(error)) from error
        piece = chunks.take()
        if piece:
            self._keep(piece)
        if chunks.finished:
            self.finished, self.tail = True, chunks.rest

    def _keep(self, piece: bytes) -> None:
        if self._most is not None:
            self._most -= len(piece)
            if self._most < 0:
                raise AnswerTooLarge(_TOO_LARGE)
        self._parts.append(piece)

    def _end(self) -> None:
        if self.finished:
            return
        if self.status and self._left == _UNTIL_CLOSE:
            self.finished = True
            return
        where = "in the middle of its answer" if self.begun else "without an answer"
        raise UnknownAfterSend(f"The server closed the connection {where}.")
