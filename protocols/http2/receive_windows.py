"""Say how much more may come: the windows in which the peer sends to us (RFC 9113, 5.2). Pure.

Bytes are given back when they are consumed, not when they arrive, and in quarters of a window: fewer frames than
answering each piece, and the peer never runs dry.
"""

from __future__ import annotations

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.frames import DEFAULT_WINDOW, ErrorCode, window_frame
from protocols.http2.limits import Limits
from protocols.http2.sending import Sending
from protocols.http2.state import StreamState


class ReceiveWindows:
    """The connection's window, which is widened first of all, and what is owed to each stream's."""

    def __init__(self, limits: Limits, sending: Sending) -> None:
        self._sending = sending
        sending.wire += window_frame(0, max(1, limits.connection_window_bytes - DEFAULT_WINDOW))
        # It begins with the standard's size and can only be widened (RFC 9113, 6.9.2).
        self._left = max(limits.connection_window_bytes, DEFAULT_WINDOW + 1)
        self._consumed = 0
        self._step = self._left // 4
        self._stream_step = max(1, limits.stream_window_bytes // 4)

    def take(self, size: int) -> None:
        """So many bytes arrived on the connection. Raises PeerBrokeRules above what was allowed."""
        self._left -= size
        if self._left < 0:
            raise PeerBrokeRules(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window")

    def take_on(self, side: StreamState, size: int) -> None:
        """So many of them on this stream."""
        side.receive_window -= size
        if side.receive_window < 0:
            raise PeerBrokeRules(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window")

    def give_back(self, side: StreamState | None, size: int) -> bool:
        """They are out of our memory. True when that is to be said now."""
        said = False
        self._consumed += size
        if self._consumed >= self._step:
            said = True
            self._sending.wire += window_frame(0, self._consumed)
            self._left += self._consumed
            self._consumed = 0
        if side is not None and not side.ended and not side.reset:
            side.unacknowledged += size
            if side.unacknowledged >= self._stream_step:
                said = True
                self._sending.wire += window_frame(side.id, side.unacknowledged)
                side.receive_window += side.unacknowledged
                side.unacknowledged = 0
        return said
