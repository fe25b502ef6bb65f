"""The other side of a connection core: makes frames by hand, reads what comes back as plain tuples."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Event, Header
from protocols.http2.frames import PREFACE
from protocols.http2.limits import Limits
from protocols.http2.machine import Machine
from protocols.transport.pipes import PlainPipe
from protocols.transport.stream import PipeStream

REQUEST: list[Header] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Echo/Unary"),
    (b":authority", b"here"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]


class Peer:
    """Feeds a server core (or with `client` a client core) and decodes its answers."""

    def __init__(self, limits: Limits | None = None, *, client: bool = False, settings: dict[int, int] | None = None):
        self.machine = Machine(client=client, limits=limits or Limits())
        self.encoder, self.decoder = Encoder(), Decoder()
        self.now = 0.0
        greeting = b"" if client else PREFACE
        self.events = self.say(greeting + SettingsFrame(0, settings=settings or {}).serialize())
        self.hears()

    def say(self, *wire: bytes | Frame) -> list[Event]:
        whole = b"".join(piece if isinstance(piece, bytes) else piece.serialize() for piece in wire)
        return self.machine.receive(whole, self.now)

    def hears(self) -> list[tuple[Any, ...]]:
        """Everything the core wants to send, decoded."""
        wire = b""
        while piece := self.machine.take():
            wire += piece
        return [self.tell(frame) for frame in frames_of(wire.removeprefix(PREFACE))]

    def headers(self, stream_id: int, fields: list[Header] | None = None, *flags: str) -> HeadersFrame:
        block = self.encoder.encode(REQUEST if fields is None else fields)
        return HeadersFrame(stream_id, data=block, flags=["END_HEADERS", *flags])

    def tell(self, frame: Frame) -> tuple[Any, ...]:
        end = "END_STREAM" in frame.flags
        match frame:
            case HeadersFrame():
                fields = [(bytes(name), bytes(value)) for name, value in self.decoder.decode(frame.data, raw=True)]
                return ("headers", frame.stream_id, fields, end)
            case DataFrame():
                return ("data", frame.stream_id, frame.data, end)
            case RstStreamFrame():
                return ("reset", frame.stream_id, frame.error_code)
            case GoAwayFrame():
                return ("goaway", frame.last_stream_id, frame.error_code)
            case WindowUpdateFrame():
                return ("window", frame.stream_id, frame.window_increment)
            case PingFrame():
                return ("ping", frame.opaque_data, "ACK" in frame.flags)
            case SettingsFrame():
                return ("settings", dict(frame.settings), "ACK" in frame.flags)
        return (type(frame).__name__, frame.stream_id)


class Noted(PlainPipe):
    """A pipe that notes what was written, piece by piece."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> None:
        self.pieces.append(piece)
        super().write(piece)


def sockets(tail: bytes = b"") -> tuple[PipeStream, PipeStream]:
    """Two ends of a connection; `tail` was read from the first before it became a stream."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    return PipeStream(Noted(ours), tail=tail), PipeStream(Noted(theirs))


def frames_of(wire: bytes) -> list[Frame]:
    frames = []
    while wire:
        frame, length = Frame.parse_frame_header(memoryview(wire[:9]))
        frame.parse_body(memoryview(wire[9 : 9 + length]))
        frames.append(frame)
        wire = wire[9 + length :]
    return frames


def data(stream_id: int, body: bytes, *flags: str) -> DataFrame:
    return DataFrame(stream_id, data=body, flags=flags)


def reset(stream_id: int, code: int = 8) -> RstStreamFrame:
    return RstStreamFrame(stream_id, error_code=code)


def window(stream_id: int, size: int) -> WindowUpdateFrame:
    return WindowUpdateFrame(stream_id, window_increment=size)


def ping(payload: bytes = b"12345678", *flags: str) -> PingFrame:
    return PingFrame(0, opaque_data=payload, flags=flags)


def priority(stream_id: int, depends_on: int) -> PriorityFrame:
    return PriorityFrame(stream_id, depends_on=depends_on, stream_weight=1, exclusive=False)


def continuation(stream_id: int, block: bytes, *flags: str) -> ContinuationFrame:
    return ContinuationFrame(stream_id, data=block, flags=flags)


def goaway(last_stream_id: int, code: int = 0) -> GoAwayFrame:
    return GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code)


def raw(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    """A frame that no library would build."""
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream_id.to_bytes(4) + body


def broken(peer: Peer, *wire: bytes | Frame) -> int:
    """The code of the GOAWAY that these bytes earn."""
    with pytest.raises(PeerBrokeRules) as caught:
        peer.say(*wire)
    last = peer.hears()[-1]
    assert (last[0], last[2]) == ("goaway", caught.value.code)
    return caught.value.code
