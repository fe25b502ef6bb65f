"""Cut the bytes of a connection into frames, however they arrive. Pure.

A frame is judged by its header, before its body is collected. What is incomplete waits in one buffer, which is
looked at again only when all of the frame is there: bytes that come one by one cost no more than others.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.frames import HEAD, HEAD_BYTES, PREFACE, ErrorCode

CutFrame = tuple[int, int, int, bytes]


class Cutter:
    """Bytes in, `(kind, flags, stream, body)` out."""

    __slots__ = ("_held", "_most_bytes", "_needed", "_preface")

    def __init__(self, *, most_bytes: int, preface: bool) -> None:
        """No frame's body may be larger than `most_bytes`; a server expects the `preface` first."""
        self._most_bytes = most_bytes
        self._held = bytearray()
        self._needed = HEAD_BYTES
        self._preface = PREFACE if preface else b""

    def cut(self, wire: bytes) -> Iterator[CutFrame]:
        """The frames that are complete now. Raises PeerBrokeRules at the first that is none."""
        if self._preface:
            wire = self._without_preface(wire)
        if self._held:
            self._held += wire
            if len(self._held) < self._needed:
                return
            wire = bytes(self._held)
            self._held.clear()
        at, end, needed = 0, len(wire), HEAD_BYTES
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = HEAD.unpack_from(wire, at)
            size = high << 8 | low
            if size > self._most_bytes:
                raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a frame is larger than SETTINGS_MAX_FRAME_SIZE")
            body = at + HEAD_BYTES
            if end - body < size:
                needed = HEAD_BYTES + size
                break
            at = body + size
            yield kind, flags, stream_id & 0x7FFF_FFFF, wire[body:at]
        if at < end:
            self._held += wire[at:]
        self._needed = needed

    def _without_preface(self, wire: bytes) -> bytes:
        expected = self._preface
        if not expected.startswith(wire[: len(expected)]):
            raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "the connection does not begin with HTTP/2's preface")
        self._preface = expected[len(wire) :]
        return wire[len(expected) :]
