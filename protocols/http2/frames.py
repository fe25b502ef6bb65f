"""The frames of HTTP/2 as they stand on the wire (RFC 9113, sections 4.1, 6 and 7): names for their numbers. Pure."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08
WITH_PRIORITY = 0x20

HEAD_BYTES = 9
# The length has 24 bits: 16 and 8. Then kind, flags, stream; whoever reads clears the stream's reserved bit.
HEAD = Struct(">HBBBL")
HIGHEST_STREAM_ID = WIDEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
SMALLEST_FRAME_LIMIT, LARGEST_FRAME_LIMIT = 2**14, 2**24 - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Setting(IntEnum):
    """RFC 9113, 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """RFC 9113, section 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


def frame(kind: int, flags: int, stream_id: int, body: bytes = b"") -> bytes:
    """One frame."""
    size = len(body)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + body


def settings_frame(settings: dict[int, int]) -> bytes:
    """What we allow and want, in the order given."""
    return frame(SETTINGS, 0, 0, b"".join(key.to_bytes(2) + value.to_bytes(4) for key, value in settings.items()))


def window_frame(stream_id: int, increment: int) -> bytes:
    """So many bytes more may come: on a stream, or with 0 on the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4))


def reset_frame(stream_id: int, code: int) -> bytes:
    """The early end of one stream."""
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4))


def goaway_frame(last_stream_id: int, code: int, reason: bytes = b"") -> bytes:
    """No stream above `last_stream_id` was or will be looked at."""
    return frame(GOAWAY, 0, 0, last_stream_id.to_bytes(4) + code.to_bytes(4) + reason)
