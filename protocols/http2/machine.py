"""The state of one HTTP/2 connection, client or server. Pure: bytes and moments in, events and bytes out.

`h2` keeps the protocol's state; this file adds what it leaves to its user: limits and flood counters, turns
between bodies, acknowledgement when bytes are consumed rather than when they arrive, and a drain that lets
running streams finish. h2 is pinned to one minor version because some of its private names are used here,
each with its reason.
"""

from __future__ import annotations

from typing import Any

from h2 import events as h2_events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame

from protocols.http2.budget import Budget
from protocols.http2.errors import ConnectionLost, PeerBrokeRules
from protocols.http2.events import (
    Answered,
    Chunk,
    Ended,
    Event,
    GoneAway,
    Headers,
    Opened,
    Ponged,
    SettingsArrived,
    Trailed,
    WasReset,
)
from protocols.http2.header_cache import RememberingDecoder
from protocols.http2.limits import Limits
from protocols.http2.sending import Outgoing, Sending
from protocols.http2.setup import HIGHEST_STREAM_ID, greeting, new_h2

DRAIN_PING = b"\x00drained"
DEFAULT_WINDOW = 65535


class Machine:
    """One connection's state. Not reusable; nothing may be called after `PeerBrokeRules` but `take`."""

    def __init__(self, *, client: bool, limits: Limits) -> None:
        self._client = client
        self._limits = limits
        self._decoder = RememberingDecoder(limits.max_header_list_bytes)
        self._h2 = new_h2(client, limits, self._decoder)
        # h2 closes a connection on GOAWAY and throws its unsent bytes away; RFC 9113 section 6.8 lets
        # the streams up to the last id finish, so the frame is handled here.
        self._h2._frame_dispatch_table[GoAwayFrame] = _goaway_event
        # h2 formats every frame for its log before asking whether there is one: a tenth of a message's cost.
        self._receive_frame = self._h2._receive_frame
        self._h2._receive_frame = self._receive_quietly  # type: ignore[method-assign]
        self._sending = Sending(self._h2)
        self._open: dict[int, Outgoing] = {}
        self._unacknowledged: dict[int, int] = {}
        self._released = 0
        # Acknowledged in steps: h2 answers with a frame at half a window, so a quarter loses nothing.
        self._step = min(64 * 1024, limits.stream_window_bytes // 4)
        self._resets = Budget(limits.resets_burst, limits.resets_per_second)
        self._idle_frames = Budget(limits.idle_frames_burst, limits.idle_frames_per_second)
        self._wire = bytearray(greeting(client, limits))
        self._h2.increment_flow_control_window(max(1, limits.connection_window_bytes - DEFAULT_WINDOW))
        self._dead = False
        self._last_accepted = HIGHEST_STREAM_ID
        self.draining = False
        self.peer_max_streams = HIGHEST_STREAM_ID
        self.moved: list[int] = []

    # -- bytes

    def receive(self, wire: bytes, now: float) -> list[Event]:
        """Take in what arrived. Raises PeerBrokeRules; the GOAWAY is then in `take`."""
        try:
            happened = self._h2.receive_data(wire)
            self._check_unfinished_frame()
        except ProtocolError as error:
            self._dead = True
            raise PeerBrokeRules(int(error.error_code), str(error)) from error
        except H2Error as error:  # pragma: no cover - h2 has no other kind on receipt today
            self.hang_up(ErrorCodes.INTERNAL_ERROR, str(error))
            raise PeerBrokeRules(int(ErrorCodes.INTERNAL_ERROR), str(error)) from error
        events: list[Event] = []
        for event in happened:
            self._translate(event, events, now)
        return events

    def take(self) -> bytes:
        """What is to be sent now; empty when there is nothing. `moved` names the streams that got room."""
        if not self._dead:
            self.moved = self._sending.frame(self._limits.unsent_connection_bytes)
        self._sending.framed_bytes = 0
        wire = self._h2.data_to_send()
        if self._wire:
            wire = bytes(self._wire) + wire
            self._wire.clear()
        return wire

    @property
    def control_bytes(self) -> int:
        """Everything else that has not been taken: what grows when a peer asks and does not read."""
        # h2 offers no way to ask for the size without taking the bytes.
        return len(self._h2._data_to_send) + len(self._wire) - self._sending.framed_bytes

    @property
    def open_streams(self) -> int:
        return len(self._open)

    # -- streams

    def open(self, headers: Headers, *, end: bool = False) -> int:
        """Open a stream (clients); raises ConnectionLost when its numbers have run out."""
        try:
            stream_id = self._h2.get_next_available_stream_id()
        except ProtocolError as error:
            raise ConnectionLost("This connection has used up its stream numbers; open another.") from error
        self._h2.send_headers(stream_id, headers, end_stream=end)
        side = self._open[stream_id] = Outgoing(stream_id)
        side.finished = end
        return stream_id

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        """Response headers; `end` for a response of headers alone."""
        side = self._open.get(stream_id)
        if side is not None and not self._dead:
            self._h2.send_headers(stream_id, headers, end_stream=end)
            side.finished = end

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
            self._sending.frame_now(side)

    def ended_by_us(self, stream_id: int) -> bool:
        """True when our END_STREAM is framed, or the stream is over anyway."""
        side = self._open.get(stream_id)
        return side is None or side.finished

    def reset(self, stream_id: int, code: int) -> None:
        """End the stream early, if it still lives."""
        if stream_id in self._open and not self._dead:
            try:
                self._h2.reset_stream(stream_id, code)
            except ProtocolError:
                # Both sides had ended it: h2 has closed the stream and there is nothing left to reset.
                pass

    def consumed(self, stream_id: int, size: int) -> bool:
        """These received bytes are out of our memory: let the peer send as many more. True if that is to be
        said.
        """
        held = self._unacknowledged.get(stream_id, 0) + size
        due = held >= self._step and not self._dead
        if due:
            self._h2.acknowledge_received_data(held, stream_id)
            held = 0
        self._unacknowledged[stream_id] = held
        return due

    def release(self, stream_id: int, unread: int) -> None:
        """The stream is over for its user: free its slot and give unread bytes back to the connection."""
        side = self._open.pop(stream_id, None)
        if side is None:
            return
        self._sending.drop(side)
        self._released += self._unacknowledged.pop(stream_id, 0) + unread
        if self._released >= self._step and not self._dead:
            self._h2.acknowledge_received_data(self._released, stream_id)
            self._released = 0

    # -- the connection

    def ping(self, payload: bytes) -> None:
        if not self._dead:
            self._h2.ping(payload)

    def drain(self) -> None:
        """Say that no new stream is wanted, without refusing those already on their way (RFC 9113, 6.8)."""
        if not self.draining and not self._dead:
            self.draining = True
            self._send_goaway(HIGHEST_STREAM_ID)
            self._h2.ping(DRAIN_PING)

    def refuse_new_streams(self) -> None:
        """The second GOAWAY of a drain: every stream above the highest seen will be refused."""
        if self._last_accepted == HIGHEST_STREAM_ID and not self._dead:
            self._last_accepted = self._h2.highest_inbound_stream_id
            self._send_goaway(self._last_accepted)

    def hang_up(self, code: int, reason: str = "") -> None:
        """A last GOAWAY; whatever was queued is dropped and nothing more can be sent."""
        if not self._dead:
            self._dead = True
            self._wire += self._h2.data_to_send()
            last = min(self._last_accepted, self._h2.highest_inbound_stream_id)
            self._wire += GoAwayFrame(
                0, last_stream_id=last, error_code=code, additional_data=reason.encode()
            ).serialize()

    # -- below: what h2 reports, one method a kind

    def _translate(self, event: h2_events.Event, events: list[Event], now: float) -> None:
        translate = _TRANSLATIONS.get(event.__class__)
        if translate is not None:
            translate(self, event, events, now)

    def _on_request(self, event: h2_events.RequestReceived, events: list[Event], now: float) -> None:
        stream_id = event.stream_id
        self._idle_frames.earn()
        self._open[stream_id] = Outgoing(stream_id)
        if stream_id > self._last_accepted or len(self._open) > self._limits.max_streams:
            # RFC 9113 section 5.1.2 makes this an error of the stream; h2 would end the connection.
            self.reset(stream_id, ErrorCodes.REFUSED_STREAM)
            self.release(stream_id, 0)
        else:
            events.append(Opened(stream_id, event.headers))

    def _on_response(self, event: h2_events.ResponseReceived, events: list[Event], now: float) -> None:
        events.append(Answered(event.stream_id, event.headers))

    def _on_trailers(self, event: h2_events.TrailersReceived, events: list[Event], now: float) -> None:
        events.append(Trailed(event.stream_id, event.headers))

    def _on_body(self, event: h2_events.DataReceived, events: list[Event], now: float) -> None:
        stream_id, size = event.stream_id, event.flow_controlled_length
        if event.data:
            self._idle_frames.earn()
        elif event.stream_ended is None:
            self._spend_idle(now)
        if stream_id in self._open:
            events.append(Chunk(stream_id, event.data, size))
        elif size and not self._dead:
            self._h2.acknowledge_received_data(size, stream_id)

    def _on_end(self, event: h2_events.StreamEnded, events: list[Event], now: float) -> None:
        events.append(Ended(event.stream_id))

    def _on_reset(self, event: h2_events.StreamReset, events: list[Event], now: float) -> None:
        if event.remote_reset and not self._client and not self._resets.spend(now):
            self._punish("too many streams were reset; rapid reset is not served")
        side = self._open.get(event.stream_id)
        if side is not None:
            self._sending.drop(side)
            events.append(WasReset(event.stream_id, int(event.error_code)))

    def _on_window(self, event: h2_events.WindowUpdated, events: list[Event], now: float) -> None:
        self._sending.unblock(event.stream_id)

    def _on_settings(self, event: h2_events.RemoteSettingsChanged, events: list[Event], now: float) -> None:
        self._spend_idle(now)
        self._sending.unblock(0)
        self.peer_max_streams = self._h2.remote_settings.max_concurrent_streams
        events.append(SettingsArrived(self.peer_max_streams))

    def _on_idle(self, event: h2_events.Event, events: list[Event], now: float) -> None:
        self._spend_idle(now)

    def _on_pong(self, event: h2_events.PingAckReceived, events: list[Event], now: float) -> None:
        if event.ping_data == DRAIN_PING and self.draining:
            self.refuse_new_streams()
        events.append(Ponged(event.ping_data))

    def _on_goaway(self, event: h2_events.ConnectionTerminated, events: list[Event], now: float) -> None:
        code = int(event.error_code or 0)
        events.append(GoneAway(event.last_stream_id or 0, code, event.additional_data or b""))

    def _spend_idle(self, now: float) -> None:
        if not self._idle_frames.spend(now):
            self._punish("too many frames that carry no work (PING, SETTINGS, PRIORITY, empty DATA)")

    def _punish(self, why: str) -> None:
        self.hang_up(ErrorCodes.ENHANCE_YOUR_CALM, why)
        raise PeerBrokeRules(int(ErrorCodes.ENHANCE_YOUR_CALM), why)

    def _send_goaway(self, last_stream_id: int) -> None:
        self._wire += self._h2.data_to_send()
        self._wire += GoAwayFrame(0, last_stream_id=last_stream_id, error_code=0).serialize()

    def _receive_quietly(self, frame: Frame) -> list[h2_events.Event]:
        if frame.__class__ is not DataFrame:
            if frame.__class__ is HeadersFrame and not self._client:
                return self._receive_headers(frame)
            return self._receive_frame(frame)
        frames, events = self._h2._receive_data_frame(frame)
        if frames:
            self._h2._prepare_for_sending(frames)
        return events

    def _receive_headers(self, frame: HeadersFrame) -> list[h2_events.Event]:
        """A request in the very bytes of an earlier one has been validated: a tenth of a small call's cost."""
        if frame.stream_id <= self._h2.highest_inbound_stream_id:
            return self._receive_frame(frame)
        block, config = frame.data, self._h2.config
        if not self._decoder.proven(block):
            events = self._receive_frame(frame)
            self._decoder.prove(block)
            return events
        config.validate_inbound_headers = False
        try:
            return self._receive_frame(frame)
        finally:
            config.validate_inbound_headers = True

    def _check_unfinished_frame(self) -> None:
        """Judge a frame by its header. h2 would first collect up to 16 MiB of it, and 64 CONTINUATIONs."""
        incoming = self._h2.incoming_buffer
        if len(incoming._data) >= 3 and int.from_bytes(incoming._data[:3]) > self._limits.max_frame_bytes:
            self._break_off(ErrorCodes.FRAME_SIZE_ERROR, "a frame is larger than SETTINGS_MAX_FRAME_SIZE")
        if incoming._headers_buffer:
            held = sum(len(frame.data) for frame in incoming._headers_buffer)
            if held > self._limits.max_header_list_bytes:
                self._break_off(ErrorCodes.ENHANCE_YOUR_CALM, "a header block is larger than the limit")

    def _break_off(self, code: ErrorCodes, why: str) -> None:
        self.hang_up(code, why)
        raise PeerBrokeRules(int(code), why)


def _goaway_event(frame: GoAwayFrame) -> tuple[list[Frame], list[h2_events.Event]]:
    event = h2_events.ConnectionTerminated()
    event.error_code = frame.error_code
    event.last_stream_id = frame.last_stream_id
    event.additional_data = frame.additional_data
    return [], [event]


# Keyed by class: a connection sees several events a message, and a chain of isinstance costs as much as
# h2's own dispatch.
_TRANSLATIONS: dict[type, Any] = {
    h2_events.DataReceived: Machine._on_body,
    h2_events.StreamEnded: Machine._on_end,
    h2_events.RequestReceived: Machine._on_request,
    h2_events.ResponseReceived: Machine._on_response,
    h2_events.TrailersReceived: Machine._on_trailers,
    h2_events.StreamReset: Machine._on_reset,
    h2_events.WindowUpdated: Machine._on_window,
    h2_events.RemoteSettingsChanged: Machine._on_settings,
    h2_events.PingReceived: Machine._on_idle,
    h2_events.PriorityUpdated: Machine._on_idle,
    h2_events.UnknownFrameReceived: Machine._on_idle,
    h2_events.PingAckReceived: Machine._on_pong,
    h2_events.ConnectionTerminated: Machine._on_goaway,
}
