"""Take a chunked body apart and put one together (RFC 9112, section 7.1), strictly.

Pure. Extensions are skipped and trailers dropped, both bounded: neither may carry megabytes
past the body's limit.
"""

from __future__ import annotations

import re

from protocols.http1.grammar import are_field_lines, has_bare_break

LAST_CHUNK = b"0\r\n\r\n"
# A size of 16 hex digits and a short extension; real clients send no extension at all.
_SIZE_LINE_BYTES = 256
_TRAILER_BYTES = 8 * 1024
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")


class BadChunks(ValueError):
    """The bytes are not a chunked body."""


def encode_chunk(piece: bytes) -> bytes:
    """Return `piece` as one chunk. An empty piece would end the body, so it must not be given."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class ChunkedBody:
    """Feed it bytes, take decoded ones; when `finished`, what follows the body is in `rest`."""

    __slots__ = ("_at", "_buffer", "_left", "_parts", "_state", "finished", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        # How far the buffer is used up. Cutting it at every chunk would copy all of it for each single byte of a
        # body in chunks of one: 0.15 s for 64 KiB.
        self._at = 0
        self._parts: list[bytes] = []
        self._left = 0
        self._state = self._size_line
        self.finished = False
        self.rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the wire; raise BadChunks."""
        self._buffer = self._buffer + data if self._buffer else data
        size = len(self._buffer)
        while self._at < size and not self.finished and self._state():
            pass
        left, self._buffer, self._at = self._buffer[self._at :], b"", 0
        if self.finished:
            self.rest = left
        else:
            self._buffer = left

    def take(self) -> bytes:
        """Return what was decoded since the last call."""
        taken, self._parts = b"".join(self._parts), []
        return taken

    # Each state returns whether it got on; what it could not use stays in the buffer.

    def _size_line(self) -> bool:
        at = self._at
        end = self._buffer.find(b"\r\n", at)
        if end < 0:
            self._check_unfinished(_SIZE_LINE_BYTES)
            return False
        if end - at > _SIZE_LINE_BYTES:
            raise BadChunks("The line with a chunk's size is too long.")
        found = _SIZE_LINE.fullmatch(self._buffer, at, end)
        if found is None:
            raise BadChunks("A chunk does not begin with its size in hexadecimal digits.")
        self._at = end + 2
        self._left = int(found[1], 16)
        self._state = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        piece = self._buffer[self._at : self._at + self._left]
        self._at += len(piece)
        self._left -= len(piece)
        self._parts.append(piece)
        if not self._left:
            self._state = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        end = self._buffer[self._at : self._at + 2]
        if not b"\r\n".startswith(end):
            raise BadChunks("A chunk is longer than its size says.")
        if len(end) < 2:
            return False
        self._at += 2
        self._state = self._size_line
        return True

    def _trailer(self) -> bool:
        at = self._at
        if self._buffer.startswith(b"\r\n", at):
            end = at - 2
        else:
            end = self._buffer.find(b"\r\n\r\n", at)
            if end < 0:
                self._check_unfinished(_TRAILER_BYTES)
                return False
        if end - at > _TRAILER_BYTES or not are_field_lines(self._buffer[at : end + 2]):
            raise BadChunks("The fields after the last chunk are malformed.")
        self._at = end + 4
        self.finished = True
        return True

    def _check_unfinished(self, most: int) -> None:
        if len(self._buffer) - self._at > most + 2 or has_bare_break(self._buffer, self._at):
            raise BadChunks("The line with a chunk's size, or a trailer, is malformed or too long.")
