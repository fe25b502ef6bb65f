"""The state of one HTTP/2 connection, client or server. Pure: bytes and moments in, events and bytes out.

What arrives is judged in `receiving.py`, what leaves is chosen in `sending.py`; here is what a user of the
connection may do, and how a connection ends. The core is our own because a message gateway's calls are small: with
a state machine made of objects for every frame, HTTP/2 was more than half of what such a call cost.
"""

from __future__ import annotations

from protocols.http2.errors import ConnectionLost, PeerBrokeRules
from protocols.http2.events import Event, Headers, Ponged
from protocols.http2.frames import (
    HIGHEST_STREAM_ID,
    PING,
    PREFACE,
    ErrorCode,
    Setting,
    frame,
    goaway_frame,
    settings_frame,
)
from protocols.http2.limits import Limits
from protocols.http2.peer_settings import PeerSettings
from protocols.http2.receiving import Receiving
from protocols.http2.sending import Sending
from protocols.http2.state import StreamState

DRAIN_PING = b"\x00drained"


class Machine:
    """One connection's state. Not reusable; nothing may be called after `PeerBrokeRules` but `take`."""

    def __init__(self, *, client: bool, limits: Limits) -> None:
        self._client = client
        self._limits = limits
        self._sending = sending = Sending(limits.unsent_connection_bytes)
        self._settings = PeerSettings(sending, client=client)
        sending.wire += _greeting(limits, client=client)
        self._receiving = Receiving(client=client, limits=limits, sending=sending, settings=self._settings)
        self._open = self._receiving.open
        self._dead = False
        self.draining = False
        #: The streams that got room when bytes were last taken.
        self.moved: list[int] = []

    # -- bytes

    def receive(self, wire: bytes, now: float) -> list[Event]:
        """Take in what arrived. Raises PeerBrokeRules; the GOAWAY is then in `take`."""
        try:
            events = self._receiving.feed(wire, now)
        except PeerBrokeRules as error:
            self.hang_up(error.code, error.reason)
            raise
        if self.draining:
            self._end_drain(events)
        return events

    def take(self) -> bytes:
        """What is to be sent now; empty when there is nothing. `moved` names the streams that got room."""
        sending = self._sending
        if not self._dead:
            self.moved = sending.frame()
        sending.framed_bytes = 0
        wire = bytes(sending.wire)
        sending.wire.clear()
        return wire

    @property
    def control_bytes(self) -> int:
        """Everything else that has not been taken: what grows when a peer asks and does not read."""
        return len(self._sending.wire) - self._sending.framed_bytes

    @property
    def open_streams(self) -> int:
        return len(self._open)

    @property
    def peer_max_streams(self) -> int:
        """How many streams the peer lets us open."""
        return self._settings.max_streams

    # -- streams

    def open(self, headers: Headers, *, end: bool = False) -> int:
        """Open a stream (clients); raises ConnectionLost when its numbers have run out."""
        stream_id = self._receiving.highest_id + 2 if self._receiving.highest_id else 1
        if stream_id > HIGHEST_STREAM_ID:
            raise ConnectionLost("This connection has used up its stream numbers; open another.")
        self._receiving.highest_id = stream_id
        side = StreamState(stream_id, self._sending.initial_window, self._limits.stream_window_bytes)
        side.answered = False
        self._open[stream_id] = side
        self._sending.head(side, headers, end=end)
        return stream_id

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        """Response headers; `end` for a response of headers alone."""
        side = self._open.get(stream_id)
        if side is not None and not side.finished and not self._dead:
            self._sending.head(side, headers, end=end)

    def send_body(self, stream_id: int, body: bytes) -> bool:
        """Queue body bytes; they leave as windows and turns allow. A stream that is over swallows them.

        False, and nothing queued, when the caller must wait: a stream may always queue one message, more only
        while little is unsent, here and on the whole connection.
        """
        side = self._open.get(stream_id)
        if side is None or side.finished:
            return True
        waiting, sending, limits = len(side.body), self._sending, self._limits
        if waiting and (
            waiting > limits.unsent_stream_bytes
            or sending.waiting_bytes + sending.framed_bytes > limits.unsent_connection_bytes
        ):
            return False
        sending.add(side, body)
        return True

    def end(self, stream_id: int, trailers: Headers | None = None) -> None:
        """End our side after what is queued, with trailers or without."""
        side = self._open.get(stream_id)
        if side is not None and not side.finished and not self._dead:
            self._sending.close(side, trailers)

    def ended_by_us(self, stream_id: int) -> bool:
        """True when our END_STREAM is framed, or the stream is over anyway."""
        side = self._open.get(stream_id)
        return side is None or side.finished

    def reset(self, stream_id: int, code: int) -> None:
        """End the stream early, if it still lives."""
        side = self._open.get(stream_id)
        if side is not None and not self._dead:
            self._receiving.reset(side, code)

    def consumed(self, stream_id: int, size: int) -> bool:
        """These received bytes are out of our memory: let the peer send as many more. True if that is to be
        said.
        """
        return not self._dead and self._receiving.windows.give_back(self._open.get(stream_id), size)

    def release(self, stream_id: int, unread: int) -> None:
        """The stream is over for its user: free its slot and give unread bytes back to the connection."""
        side = self._open.pop(stream_id, None)
        if side is not None:
            self._sending.drop(side)
            self._receiving.forget(side)
            if unread:
                self.consumed(0, unread)

    # -- the connection

    def ping(self, payload: bytes) -> None:
        if not self._dead:
            self._sending.wire += frame(PING, 0, 0, payload)

    def drain(self) -> None:
        """Say that no new stream is wanted, without refusing those already on their way (RFC 9113, 6.8)."""
        if not self.draining and not self._dead:
            self.draining = True
            self._sending.wire += goaway_frame(HIGHEST_STREAM_ID, ErrorCode.NO_ERROR)
            self.ping(DRAIN_PING)

    def refuse_new_streams(self) -> None:
        """The second GOAWAY of a drain: every stream above the highest seen will be refused."""
        receiving = self._receiving
        if receiving.last_accepted == HIGHEST_STREAM_ID and not self._dead:
            receiving.last_accepted = receiving.highest_id
            self._sending.wire += goaway_frame(receiving.last_accepted, ErrorCode.NO_ERROR)

    def hang_up(self, code: int, reason: str = "") -> None:
        """A last GOAWAY; whatever was queued is dropped and nothing more can be sent."""
        if not self._dead:
            self._dead = True
            # A client has taken no stream of the server's.
            last = 0 if self._client else min(self._receiving.last_accepted, self._receiving.highest_id)
            self._sending.wire += goaway_frame(last, code, reason.encode())

    def _end_drain(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Ponged) and event.payload == DRAIN_PING:
                self.refuse_new_streams()


def _greeting(limits: Limits, *, client: bool) -> bytes:
    """The connection preface (RFC 9113, 3.4)."""
    settings: dict[int, int] = {
        Setting.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
        Setting.MAX_FRAME_SIZE: limits.max_frame_bytes,
        Setting.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
    }
    if client:
        settings[Setting.ENABLE_PUSH] = 0
    else:
        settings[Setting.MAX_CONCURRENT_STREAMS] = limits.max_streams
    return (PREFACE if client else b"") + settings_frame(settings)
