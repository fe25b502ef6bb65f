"""Decide what of the waiting bodies may leave now: windows, turns, trailers last. Pure.

Bodies are collected per stream and cut into DATA frames only when the wire has room, so that many small
messages leave as one frame, and streams take turns chunk by chunk. Trailers follow when their body is gone.
"""

from __future__ import annotations

from collections import OrderedDict

from protocols.http2.events import Headers
from protocols.http2.frames import (
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADERS,
    SMALLEST_FRAME_LIMIT,
    frame,
)
from protocols.http2.header_encoding import Encoder
from protocols.http2.state import StreamState

# One turn of one stream. Small enough that a bulk transfer delays a short answer by well under a
# millisecond of wire time on a gigabit link, large enough that a frame header is noise.
TURN_BYTES = 64 * 1024


class Sending:
    """Every stream's sending half on one connection, and the bytes that are ready to leave."""

    def __init__(self, most_bytes: int) -> None:
        """About `most_bytes` of bodies are framed before they are taken; the rest waits, each with its stream."""
        self._most_bytes = most_bytes
        self.encoder = Encoder()
        self.wire = bytearray()
        #: What the peer allows: on the connection, on a new stream, in one frame.
        self.window = DEFAULT_WINDOW
        self.initial_window = DEFAULT_WINDOW
        self.max_frame_bytes = SMALLEST_FRAME_LIMIT
        #: Bytes that wait for a window or a turn, over all streams; and those in `wire`.
        self.waiting_bytes = 0
        self.framed_bytes = 0
        #: Whether headers or a body were framed since somebody cleared it.
        self.said = False
        # Who has something to send, in turn; and who has, and no window of its own. A stream that waits for the
        # connection's window keeps its turn: else one small WINDOW_UPDATE would cost a walk through all of them.
        self._turns: OrderedDict[int, StreamState] = OrderedDict()
        self._blocked: dict[int, StreamState] = {}

    def head(self, side: StreamState, fields: Headers, *, end: bool) -> None:
        """Frame a header block: a request's, a response's, or trailers."""
        self.said = True
        block = self.encoder.encode(fields)
        flags = END_STREAM if end else 0
        side.finished = end
        most = self.max_frame_bytes
        if len(block) <= most:
            self.wire += frame(HEADERS, flags | END_HEADERS, side.id, block)
            return
        self.wire += frame(HEADERS, flags, side.id, block[:most])
        for at in range(most, len(block), most):
            last = at + most >= len(block)
            self.wire += frame(CONTINUATION, END_HEADERS if last else 0, side.id, block[at : at + most])

    def add(self, side: StreamState, body: bytes) -> None:
        """Queue body bytes."""
        side.body += body
        self.waiting_bytes += len(body)
        self._enqueue(side)

    def close(self, side: StreamState, trailers: Headers | None) -> None:
        """Nothing more comes; end the stream once its body is gone."""
        side.closing = True
        side.trailers = trailers
        # What is framed no longer counts as a stream: a peer that does not read would have as much of it as it likes.
        if not side.body or (len(side.body) <= TURN_BYTES and self.framed_bytes < self._most_bytes):
            self._frame_now(side)
        self._enqueue(side)

    def drop(self, side: StreamState) -> None:
        """The stream is over: forget what it still wanted to send."""
        self.waiting_bytes -= len(side.body)
        side.body.clear()
        side.finished = True
        self._blocked.pop(side.id, None)
        self._turns.pop(side.id, None)

    def unblock(self, stream_id: int) -> None:
        """The window of this stream opened."""
        if (found := self._blocked.pop(stream_id, None)) is not None:
            self._enqueue(found)

    def unblock_all(self) -> None:
        """The windows of all streams changed."""
        blocked, self._blocked = self._blocked, {}
        for side in blocked.values():
            self._enqueue(side)

    def frame(self) -> list[int]:
        """Frame bodies until enough are framed; tell which streams moved."""
        moved = []
        while self._turns and self.framed_bytes < self._most_bytes and self.window > 0:
            _, side = self._turns.popitem(last=False)
            self._turn(side)
            moved.append(side.id)
        return moved

    def _frame_now(self, side: StreamState) -> None:
        """Frame all of one stream that its windows allow, out of turn: how a short answer leaves in one
        piece.
        """
        while side.body or side.closing:
            before = len(side.body)
            self._turn(side)
            if side.finished or len(side.body) == before:
                return

    def _enqueue(self, side: StreamState) -> None:
        if not side.finished and side.id not in self._blocked:
            self._turns[side.id] = side

    def _turn(self, side: StreamState) -> None:
        if side.body:
            self._send_chunk(side)
        if side.closing and not side.body and not side.finished:
            self._send_end(side)

    def _send_chunk(self, side: StreamState) -> None:
        body = side.body
        room = min(self.window, side.send_window, self.max_frame_bytes, TURN_BYTES)
        if room <= 0:
            if side.send_window <= 0:
                self._blocked[side.id] = side
                self._turns.pop(side.id, None)
            else:
                self._enqueue(side)
            return
        size = min(room, len(body))
        last = size == len(body) and side.closing and side.trailers is None
        self.wire += HEAD.pack(size >> 8, size & 0xFF, DATA, END_STREAM if last else 0, side.id)
        self.wire += body[:size]
        del body[:size]
        self.window -= size
        side.send_window -= size
        self.waiting_bytes -= size
        self.framed_bytes += size
        self.said = True
        if last:
            self._end(side)
        elif body:
            self._enqueue(side)

    def _send_end(self, side: StreamState) -> None:
        if side.trailers is None:
            self.wire += frame(DATA, END_STREAM, side.id)
        else:
            self.head(side, side.trailers, end=True)
        self._end(side)

    def _end(self, side: StreamState) -> None:
        side.finished = True
        self._turns.pop(side.id, None)
