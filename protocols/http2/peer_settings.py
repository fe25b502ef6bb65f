"""Apply the peer's SETTINGS (RFC 9113, 6.5): what it lets us send, and how. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import SettingsArrived
from protocols.http2.frames import (
    ACK,
    HIGHEST_STREAM_ID,
    LARGEST_FRAME_LIMIT,
    SETTINGS,
    SMALLEST_FRAME_LIMIT,
    WIDEST_WINDOW,
    ErrorCode,
    Setting,
    frame,
)
from protocols.http2.sending import Sending
from protocols.http2.state import StreamState

# The standard has six; a frame of thousands is work without a purpose.
MOST_SETTINGS = 64


class PeerSettings:
    """The last word of the peer on each."""

    def __init__(self, sending: Sending, *, client: bool) -> None:
        self._sending = sending
        self._client = client
        self.max_streams = HIGHEST_STREAM_ID

    def take(self, body: bytes, streams: Mapping[int, StreamState]) -> SettingsArrived:
        """Apply a SETTINGS frame and acknowledge it. Raises PeerBrokeRules."""
        if len(body) % 6:
            raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a SETTINGS frame of a wrong size")
        if len(body) > 6 * MOST_SETTINGS:
            raise PeerBrokeRules(ErrorCode.ENHANCE_YOUR_CALM, "a SETTINGS frame of too many settings")
        window = self._sending.initial_window
        for at in range(0, len(body), 6):
            key, value = int.from_bytes(body[at : at + 2]), int.from_bytes(body[at + 2 : at + 6])
            if key == Setting.INITIAL_WINDOW_SIZE:
                window = _possible(value)
            else:
                self._apply(key, value)
        # Once a frame, for it walks through all streams: 64 windows in each would stop the loop for seconds.
        self._resize(window, streams)
        self._sending.wire += frame(SETTINGS, ACK, 0)
        return SettingsArrived(self.max_streams)

    def _apply(self, key: int, value: int) -> None:
        match key:
            case Setting.HEADER_TABLE_SIZE:
                self._sending.encoder.resize(value)
            case Setting.ENABLE_PUSH:
                if value > 1 or (value and self._client):
                    raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "an impossible SETTINGS_ENABLE_PUSH")
            case Setting.MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            case Setting.MAX_FRAME_SIZE:
                if not SMALLEST_FRAME_LIMIT <= value <= LARGEST_FRAME_LIMIT:
                    raise PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, "an impossible SETTINGS_MAX_FRAME_SIZE")
                self._sending.max_frame_bytes = value
            case _:
                # RFC 9113 section 6.5.2: what is not known is ignored.
                pass

    def _resize(self, size: int, streams: Mapping[int, StreamState]) -> None:
        change = size - self._sending.initial_window
        if not change:
            return
        self._sending.initial_window = size
        for side in streams.values():
            side.send_window += change
            if side.send_window > WIDEST_WINDOW:
                raise PeerBrokeRules(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS make a window wider than 2^31-1")
        self._sending.unblock_all()


def _possible(window: int) -> int:
    if window > WIDEST_WINDOW:
        raise PeerBrokeRules(ErrorCode.FLOW_CONTROL_ERROR, "an impossible SETTINGS_INITIAL_WINDOW_SIZE")
    return window
