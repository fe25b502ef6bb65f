"""Collect header blocks: HEADERS and the CONTINUATIONs that belong to it (RFC 9113, 4.3 and 6.10). Pure.

The peer chooses how many pieces there are (CVE-2024-27316), so their sum is bounded and each further one is
counted by the caller.
"""

from __future__ import annotations

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.frames import CONTINUATION, END_HEADERS, HIGHEST_STREAM_ID, PADDED, WITH_PRIORITY, ErrorCode
from protocols.http2.header_decoding import PATIENCE, Decoded, Decoder
from protocols.http2.limits import Limits

PRIORITY_BYTES = 5


class HeaderBlocks:
    """`incomplete` while a block goes on: then nothing else may come."""

    def __init__(self, limits: Limits) -> None:
        self._decoder = Decoder(limits.max_header_list_bytes)
        # Compression seldom makes a list longer: a block of this size is not worth decoding.
        self._most_bytes = PATIENCE * limits.max_header_list_bytes
        self._stream_id = 0
        self._flags = 0
        self._pieces = bytearray()
        self.incomplete = False

    def begin(self, flags: int, stream_id: int, body: bytes) -> Decoded | None:
        """A HEADERS frame; None while its block goes on. Raises PeerBrokeRules."""
        if not stream_id:
            raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & PADDED:
            body = unpadded(body)
        if flags & WITH_PRIORITY:
            check_priority(stream_id, body)
            body = body[PRIORITY_BYTES:]
        if len(body) > self._most_bytes:
            raise _too_large()
        if flags & END_HEADERS:
            return self._decoder.decode(body)
        self.incomplete = True
        self._stream_id, self._flags, self._pieces = stream_id, flags, bytearray(body)
        return None

    def check(self, kind: int, stream_id: int) -> None:
        """Raises PeerBrokeRules when another frame comes between."""
        if kind != CONTINUATION or stream_id != self._stream_id:
            raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")

    def go_on(self, flags: int, body: bytes) -> tuple[int, Decoded] | None:
        """A CONTINUATION; with the last one the flags of its HEADERS, and the fields. Raises PeerBrokeRules."""
        if not self.incomplete:
            raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "a CONTINUATION that continues nothing")
        self._pieces += body
        if len(self._pieces) > self._most_bytes:
            raise _too_large()
        if not flags & END_HEADERS:
            return None
        self.incomplete = False
        block, self._pieces = bytes(self._pieces), bytearray()
        return self._flags, self._decoder.decode(block)


def unpadded(body: bytes) -> bytes:
    """The body of a padded frame. Raises PeerBrokeRules for padding that is longer than its frame."""
    padding = body[0] if body else 0
    if padding >= len(body):
        raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "more padding than there is room for")
    return body[1 : len(body) - padding]


def check_priority(stream_id: int, body: bytes) -> None:
    """Priority is not used (RFC 9113, 5.3.2); what cannot be one is refused."""
    if len(body) < PRIORITY_BYTES:
        raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a frame too short for its priority")
    if int.from_bytes(body[:4]) & HIGHEST_STREAM_ID == stream_id:
        raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")


def _too_large() -> PeerBrokeRules:
    return PeerBrokeRules(ErrorCode.ENHANCE_YOUR_CALM, "a header block is far above the limit")
