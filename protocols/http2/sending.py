"""Decide what of the waiting bodies may leave now: windows, turns, trailers last. Pure.

Bodies are collected per stream and cut into DATA frames only when the wire has room, so that many small
messages leave as one frame, and streams take turns chunk by chunk. Trailers follow when their body is gone.
"""

from __future__ import annotations

from collections import deque

from h2.connection import H2Connection

from protocols.http2.events import Headers

# One turn of one stream. Small enough that a bulk transfer delays a short answer by well under a
# millisecond of wire time on a gigabit link, large enough that a frame header is noise.
TURN_BYTES = 64 * 1024


class Outgoing:
    """The sending half of one stream: bytes not yet framed, and how it will end."""

    __slots__ = ("body", "closing", "finished", "queued", "stream_id", "trailers")

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.body = bytearray()
        self.closing = False
        self.trailers: Headers | None = None
        self.finished = False
        self.queued = False


class Sending:
    """Every stream's sending half on one connection."""

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._turns: deque[Outgoing] = deque()
        self._blocked: dict[int, Outgoing] = {}
        # Bytes that wait for a window or a turn, over all streams.
        self.waiting_bytes = 0
        self.framed_bytes = 0

    def add(self, side: Outgoing, body: bytes) -> None:
        side.body += body
        self.waiting_bytes += len(body)
        self._enqueue(side)

    def close(self, side: Outgoing, trailers: Headers | None) -> None:
        """Nothing more comes; end the stream once its body is gone."""
        side.closing = True
        side.trailers = trailers
        self._enqueue(side)

    def drop(self, side: Outgoing) -> None:
        """The stream is over: forget what it still wanted to send."""
        self.waiting_bytes -= len(side.body)
        side.body.clear()
        side.finished = True
        self._blocked.pop(side.stream_id, None)

    def unblock(self, stream_id: int) -> None:
        """A window opened: the stream's own, or with 0 the connection's."""
        if stream_id == 0:
            blocked, self._blocked = self._blocked, {}
            for side in blocked.values():
                self._enqueue(side)
        elif (found := self._blocked.pop(stream_id, None)) is not None:
            self._enqueue(found)

    def frame(self, most_bytes: int) -> list[int]:
        """Frame bodies until about `most_bytes` are framed; tell which streams moved."""
        moved = []
        while self._turns and self.framed_bytes < most_bytes:
            side = self._turns.popleft()
            side.queued = False
            if not side.finished:
                self._turn(side)
                moved.append(side.stream_id)
        return moved

    def frame_now(self, side: Outgoing) -> None:
        """Frame all of one stream that its windows allow, out of turn: how a short answer leaves in one
        piece.
        """
        while side.body or side.closing:
            before = len(side.body)
            self._turn(side)
            if side.finished or len(side.body) == before:
                return

    def _enqueue(self, side: Outgoing) -> None:
        if not side.queued and not side.finished and side.stream_id not in self._blocked:
            side.queued = True
            self._turns.append(side)

    def _turn(self, side: Outgoing) -> None:
        if side.body:
            self._send_chunk(side)
        if side.closing and not side.body and not side.finished:
            self._send_end(side)

    def _send_chunk(self, side: Outgoing) -> None:
        h2, body = self._h2, side.body
        room = min(h2.local_flow_control_window(side.stream_id), h2.max_outbound_frame_size, TURN_BYTES)
        if room <= 0:
            self._blocked[side.stream_id] = side
            return
        size = min(room, len(body))
        last = size == len(body) and side.closing and side.trailers is None
        h2.send_data(side.stream_id, bytes(body[:size]), end_stream=last)
        del body[:size]
        self.waiting_bytes -= size
        self.framed_bytes += size
        side.finished = last
        if body:
            self._enqueue(side)

    def _send_end(self, side: Outgoing) -> None:
        side.finished = True
        if side.trailers is None:
            self._h2.end_stream(side.stream_id)
        else:
            self._h2.send_headers(side.stream_id, side.trailers, end_stream=True)
