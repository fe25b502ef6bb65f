"""Decide what an arriving frame means: the receiving half of RFC 9113, sections 5 and 6, one method a kind. Pure.

What breaks the connection is raised as PeerBrokeRules. What is wrong with one stream alone, a malformed message
say, resets that stream: its user hears `WasReset` and the others go on.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from protocols.http2 import frames
from protocols.http2.budget import Budget
from protocols.http2.cutting import Cutter
from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Answered, Chunk, Ended, Event, GoneAway, Opened, Ponged, Trailed, WasReset
from protocols.http2.fields import request_fault, response_fault, trailers_fault
from protocols.http2.frames import (
    ACK,
    END_STREAM,
    HIGHEST_STREAM_ID,
    PADDED,
    WIDEST_WINDOW,
    ErrorCode,
    frame,
    reset_frame,
)
from protocols.http2.header_blocks import PRIORITY_BYTES, HeaderBlocks, check_priority, unpadded
from protocols.http2.header_decoding import Decoded
from protocols.http2.limits import Limits
from protocols.http2.peer_settings import PeerSettings
from protocols.http2.receive_windows import ReceiveWindows
from protocols.http2.sending import Sending
from protocols.http2.state import StreamState

# Streams that we reset: the peer may not know yet, so what comes on them is passed over. And those that ended, to
# tell what comes too late from what never was.
REMEMBERED_RESETS, REMEMBERED_ENDS = 4096, 64


class Receiving:
    """What the peer's frames do to the streams in `open`."""

    def __init__(self, *, client: bool, limits: Limits, sending: Sending, settings: PeerSettings) -> None:
        self._client = client
        self._limits = limits
        self._sending = sending
        self._settings = settings
        self._cutter = Cutter(most_bytes=limits.max_frame_bytes, preface=not client)
        self._blocks = HeaderBlocks(limits)
        self._resets = Budget(limits.resets_burst, limits.resets_per_second)
        self._idle_frames = Budget(limits.idle_frames_burst, limits.idle_frames_per_second)
        self._reset_ids: OrderedDict[int, None] = OrderedDict()
        self._ended_ids: deque[int] = deque(maxlen=REMEMBERED_ENDS)
        self._now = 0.0
        self._greeted = False
        self._events: list[Event] = []
        self.open: dict[int, StreamState] = {}
        self.windows = ReceiveWindows(limits, sending)
        #: The highest stream the peer has opened (servers) or we have (clients).
        self.highest_id = 0
        self.last_accepted = HIGHEST_STREAM_ID

    def feed(self, wire: bytes, now: float) -> list[Event]:
        """Take in what arrived. Raises PeerBrokeRules."""
        self._now = now
        events = self._events = []
        for kind, flags, stream_id, body in self._cutter.cut(wire):
            if kind == frames.DATA and not self._blocks.incomplete and self._greeted:
                self._data(flags, stream_id, body)
            else:
                self._other(kind, flags, stream_id, body)
        return events

    def forget(self, side: StreamState) -> None:
        """The stream is over for its user."""
        if not side.reset:
            self._ended_ids.append(side.id)

    def reset(self, side: StreamState, code: int) -> None:
        """End a stream early, unless it has ended."""
        if not side.reset and not (side.ended and side.finished):
            side.reset = True
            self._sending.drop(side)
            self._refuse(side.id, code)

    # -- frames

    def _other(self, kind: int, flags: int, stream_id: int, body: bytes) -> None:
        if self._blocks.incomplete:
            self._blocks.check(kind, stream_id)
        if not self._greeted:
            if kind != frames.SETTINGS or flags & ACK:
                raise _broken("the first frame is not SETTINGS")
            self._greeted = True
        take = _KINDS.get(kind)
        if take is None:
            self._spend_idle()
        else:
            take(self, flags, stream_id, body)

    def _data(self, flags: int, stream_id: int, body: bytes) -> None:
        size = len(body)
        if flags & PADDED:
            body = unpadded(body)
        self.windows.take(size)
        side = self.open.get(stream_id)
        if side is None or side.ended or side.reset:
            self.windows.give_back(None, size)
            if stream_id not in self._reset_ids:
                self._late(side, stream_id, "DATA")
            return
        self.windows.take_on(side, size)
        end = flags & END_STREAM
        if body:
            self._idle_frames.earn()
        elif not end:
            self._spend_idle()
        if not side.answered or not _expected(side, len(body), end):
            self.windows.give_back(None, size)
            self._fault(side, ErrorCode.PROTOCOL_ERROR)
            return
        if body:
            self._events.append(Chunk(stream_id, body, size))
        elif size:
            self.windows.give_back(side, size)
        if end:
            side.ended = True
            self._events.append(Ended(stream_id))

    def _headers(self, flags: int, stream_id: int, body: bytes) -> None:
        head = self._blocks.begin(flags, stream_id, body)
        if head is not None:
            self._head(stream_id, flags, head)

    def _continuation(self, flags: int, stream_id: int, body: bytes) -> None:
        self._spend_idle()
        done = self._blocks.go_on(flags, body)
        if done is not None:
            began, head = done
            self._head(stream_id, began, head)

    def _head(self, stream_id: int, flags: int, head: Decoded) -> None:
        side = self.open.get(stream_id)
        if side is None and not self._client and stream_id > self.highest_id and stream_id & 1:
            self._request(stream_id, flags, head)
        elif side is None or side.ended or side.reset:
            self._late(side, stream_id, "HEADERS")
        elif side.answered:
            self._trailers(side, flags, head)
        else:
            self._response(side, flags, head)

    def _request(self, stream_id: int, flags: int, head: Decoded) -> None:
        self.highest_id = stream_id
        end = flags & END_STREAM
        if head.too_large:
            self._misbehaved(stream_id, ErrorCode.ENHANCE_YOUR_CALM)
        elif head.fault(request_fault) or (end and head.content_length):
            self._misbehaved(stream_id, ErrorCode.PROTOCOL_ERROR)
        elif stream_id > self.last_accepted:
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM)
        elif len(self.open) >= self._limits.max_streams:
            # No reset of the peer's: a handler may still tidy up after a call that the peer saw end.
            self._spend_idle()
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM)
        else:
            side = StreamState(stream_id, self._sending.initial_window, self._limits.stream_window_bytes)
            self.open[stream_id] = side
            self._idle_frames.earn()
            side.expected = head.content_length
            self._events.append(Opened(stream_id, head.fields))
            if end:
                side.ended = True
                self._events.append(Ended(stream_id))

    def _response(self, side: StreamState, flags: int, head: Decoded) -> None:
        fields, end = head.fields, flags & END_STREAM
        if head.too_large:
            self._fault(side, ErrorCode.ENHANCE_YOUR_CALM)
        elif head.fault(response_fault):
            self._fault(side, ErrorCode.PROTOCOL_ERROR)
        elif fields[0][1][:1] == b"1":
            # Informational: the answer itself is still to come.
            self._spend_idle()
            if end:
                self._fault(side, ErrorCode.PROTOCOL_ERROR)
        else:
            side.answered = True
            bodiless = fields[0][1] in (b"204", b"304")
            side.expected = None if bodiless else head.content_length
            self._events.append(Answered(side.id, fields))
            self._end(side, end)

    def _trailers(self, side: StreamState, flags: int, head: Decoded) -> None:
        if head.too_large:
            self._fault(side, ErrorCode.ENHANCE_YOUR_CALM)
        elif not flags & END_STREAM or head.fault(trailers_fault) or not _expected(side, 0, 1):
            self._fault(side, ErrorCode.PROTOCOL_ERROR)
        else:
            self._events.append(Trailed(side.id, head.fields))
            self._end(side, END_STREAM)

    def _end(self, side: StreamState, end: int) -> None:
        if end and not _expected(side, 0, end):
            self._fault(side, ErrorCode.PROTOCOL_ERROR)
        elif end:
            side.ended = True
            self._events.append(Ended(side.id))

    def _priority(self, flags: int, stream_id: int, body: bytes) -> None:
        if not stream_id:
            raise _broken("PRIORITY on stream 0")
        if len(body) != PRIORITY_BYTES:
            raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a PRIORITY frame of a wrong size")
        check_priority(stream_id, body)
        self._spend_idle()

    def _rst_stream(self, flags: int, stream_id: int, body: bytes) -> None:
        if len(body) != 4:
            raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a RST_STREAM frame of a wrong size")
        side = self.open.get(stream_id)
        if side is None:
            self._known(stream_id, "RST_STREAM")
            self._spend_idle()
            return
        if not self._client:
            self._spend_reset()
        if not side.reset:
            side.reset = True
            self._sending.drop(side)
            self._events.append(WasReset(stream_id, int.from_bytes(body)))

    def _on_settings(self, flags: int, stream_id: int, body: bytes) -> None:
        if stream_id:
            raise _broken("SETTINGS on a stream")
        self._spend_idle()
        if flags & ACK:
            if body:
                raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS with a body")
            return
        self._events.append(self._settings.take(body, self.open))

    def _push_promise(self, flags: int, stream_id: int, body: bytes) -> None:
        raise _broken("PUSH_PROMISE, which nobody allowed")

    def _ping(self, flags: int, stream_id: int, body: bytes) -> None:
        if stream_id:
            raise _broken("PING on a stream")
        if len(body) != 8:
            raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a PING frame of a wrong size")
        sending = self._sending
        # Who measures the path asks after what it gets: clients in Go after each DATA, while no answer is outstanding.
        if flags & ACK or not sending.said:
            self._spend_idle()
        if flags & ACK:
            self._events.append(Ponged(body))
        else:
            sending.said = False
            sending.wire += frame(frames.PING, ACK, 0, body)

    def _goaway(self, flags: int, stream_id: int, body: bytes) -> None:
        if stream_id:
            raise _broken("GOAWAY on a stream")
        if len(body) < 8:
            raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a GOAWAY frame of a wrong size")
        self._spend_idle()
        last = int.from_bytes(body[:4]) & HIGHEST_STREAM_ID
        self._events.append(GoneAway(last, int.from_bytes(body[4:8]), body[8:]))

    def _window_update(self, flags: int, stream_id: int, body: bytes) -> None:
        if len(body) != 4:
            raise PeerBrokeRules(ErrorCode.FRAME_SIZE_ERROR, "a WINDOW_UPDATE frame of a wrong size")
        increment = int.from_bytes(body) & WIDEST_WINDOW
        if not stream_id:
            self._widen(increment)
            return
        side = self.open.get(stream_id)
        if side is None:
            self._known(stream_id, "WINDOW_UPDATE")
            self._spend_idle()
        elif not side.reset:
            side.send_window += increment
            if side.finished:
                self._spend_idle()
            if not increment:
                self._fault(side, ErrorCode.PROTOCOL_ERROR)
            elif side.send_window > WIDEST_WINDOW:
                self._fault(side, ErrorCode.FLOW_CONTROL_ERROR)
            else:
                self._sending.unblock(stream_id)

    def _widen(self, increment: int) -> None:
        if not increment:
            raise _broken("a WINDOW_UPDATE of nothing")
        self._sending.window += increment
        if self._sending.window > WIDEST_WINDOW:
            raise PeerBrokeRules(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is wider than 2^31-1")

    # -- what is wrong

    def _fault(self, side: StreamState, code: int) -> None:
        """The peer broke a rule of this stream."""
        side.reset = True
        self._sending.drop(side)
        self._misbehaved(side.id, code)
        self._events.append(WasReset(side.id, code))

    def _misbehaved(self, stream_id: int, code: int) -> None:
        # Counted like a reset of its own: it costs us the same (CVE-2025-8671).
        self._spend_reset()
        self._refuse(stream_id, code)

    def _refuse(self, stream_id: int, code: int) -> None:
        self._sending.wire += reset_frame(stream_id, code)
        self._reset_ids[stream_id] = None
        if len(self._reset_ids) > REMEMBERED_RESETS:
            self._reset_ids.popitem(last=False)

    def _late(self, side: StreamState | None, stream_id: int, what: str) -> None:
        """A frame on a stream that takes none: passed over if we reset it, else an error."""
        self._known(stream_id, what)
        self._spend_idle()
        if stream_id in self._reset_ids:
            return
        if side is not None:
            self._fault(side, ErrorCode.STREAM_CLOSED)
        elif stream_id in self._ended_ids:
            raise PeerBrokeRules(ErrorCode.STREAM_CLOSED, f"{what} on a stream that has ended")
        elif what == "HEADERS":
            raise _broken("HEADERS with a stream number that was passed over")

    def _known(self, stream_id: int, what: str) -> None:
        """Raises PeerBrokeRules for a stream that nobody has opened yet, and for none at all."""
        # Clients' streams are odd; servers would push on even ones, which nobody allowed.
        if not stream_id & 1 or stream_id > self.highest_id:
            raise _broken(f"{what} on a stream that is not open")

    def _spend_idle(self) -> None:
        if not self._idle_frames.spend(self._now):
            why = "too many frames that bring no work (PING, SETTINGS, empty DATA, streams above the limit)"
            raise PeerBrokeRules(ErrorCode.ENHANCE_YOUR_CALM, why)

    def _spend_reset(self) -> None:
        if not self._resets.spend(self._now):
            why = "too many streams were reset or malformed; rapid reset is not served"
            raise PeerBrokeRules(ErrorCode.ENHANCE_YOUR_CALM, why)


def _broken(why: str) -> PeerBrokeRules:
    return PeerBrokeRules(ErrorCode.PROTOCOL_ERROR, why)


def _expected(side: StreamState, size: int, end: int) -> bool:
    """Count body bytes against content-length."""
    if side.expected is None:
        return True
    side.expected -= size
    return side.expected == 0 or (side.expected > 0 and not end)


_KINDS: dict[int, Callable[[Receiving, int, int, bytes], None]] = {
    frames.DATA: Receiving._data,
    frames.HEADERS: Receiving._headers,
    frames.PRIORITY: Receiving._priority,
    frames.RST_STREAM: Receiving._rst_stream,
    frames.SETTINGS: Receiving._on_settings,
    frames.PUSH_PROMISE: Receiving._push_promise,
    frames.PING: Receiving._ping,
    frames.GOAWAY: Receiving._goaway,
    frames.WINDOW_UPDATE: Receiving._window_update,
    frames.CONTINUATION: Receiving._continuation,
}
