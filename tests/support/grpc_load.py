"""Programs that call a gateway over gRPC: frames over two blocking sockets, calls on one, a subscription on the other.

A client library in Python costs more for a call than the whole gateway, and its own waiting would be taken for the
gateway's. A call is due at its moment, whether or not others were answered; its time counts from then.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.api.v1.gateway_pb2 import Event, SendRequest, SubscribeRequest
from gateway.api.v1.message_pb2 import Conversation, Message
from protocols.grpc.framing import Unpacker, pack
from protocols.http2 import frames
from protocols.http2.cutting import CutFrame, Cutter
from protocols.http2.frames import END_HEADERS, END_STREAM, PREFACE, frame, settings_frame, window_frame
from protocols.http2.header_encoding import Encoder

TOKEN = "bench-token"
CHANNEL = '\n[channels.rpc]\ntype = "grpc"\ntokens = { bench = "file:token" }\n'
# Enough that the order within a conversation holds nobody up.
CONVERSATIONS = 200


def with_grpc(config: Path, *, stream: bool = False) -> None:
    """Give a prepared conf/examples/bench a channel for these programs; `stream` has replies said in pieces."""
    (config / "token").write_text(TOKEN)
    (config / "token").chmod(0o600)
    with (config / "oclaw.toml").open("a") as file:
        file.write(CHANNEL)
    for pipeline in (config / "pipelines.d").glob("*.yaml"):
        pipeline.write_text(f"stream: {str(stream).lower()}\n{pipeline.read_text()}")


class Wire:
    """One connection, with windows that never close."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encoder, self._cutter = Encoder(), Cutter(most_bytes=2**24, preface=False)
        self._next_id = -1
        self.socket.sendall(PREFACE + settings_frame({4: 2**31 - 1}) + window_frame(0, 2**31 - 65536))

    def call(self, path: bytes, message: bytes) -> tuple[int, bytes]:
        """A new stream's number, and its frames."""
        self._next_id += 2
        block = self._encoder.encode([
            (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"127.0.0.1"), (b":path", path),
            (b"te", b"trailers"), (b"content-type", b"application/grpc"), (b"user-agent", b"load/1"),
            (b"grpc-timeout", b"100S"), (b"authorization", f"Bearer {TOKEN}".encode()),
        ])  # fmt: skip
        head = frame(frames.HEADERS, END_HEADERS, self._next_id, block)
        return self._next_id, head + frame(frames.DATA, END_STREAM, self._next_id, pack(message))

    def hear(self) -> Iterator[CutFrame]:
        """What has come; SETTINGS and PING are answered."""
        came = self.socket.recv(1 << 18)
        if not came:
            raise SystemExit("the gateway hung up")
        for kind, flags, stream_id, body in self._cutter.cut(came):
            if kind in (frames.SETTINGS, frames.PING) and not flags & frames.ACK:
                self.socket.sendall(frame(kind, frames.ACK, 0, body if kind == frames.PING else b""))
            yield kind, flags, stream_id, body


class GrpcLoad:
    """Calls on one connection, a subscription on another. `sent` and `replied` are seconds since a call was due.

    `late` is how late this side itself was, at worst.
    """

    def __init__(self, port: int) -> None:
        self._calls, self._events = Wire(port), Wire(port)
        self._unpacker = Unpacker(most_bytes=2**24)
        self._number = 0
        self._pending: dict[int, tuple[str, float]] = {}
        self._answered: set[int] = set()
        self._due: dict[str, float] = {}
        self.sent: list[float] = []
        self.replied: list[float] = []
        self.errors, self.late = 0, 0.0
        self._events.socket.sendall(
            self._events.call(b"/oclaw.v1.Gateway/Subscribe", SubscribeRequest().SerializeToString())[1]
        )

    @property
    def lost(self) -> int:
        """How many messages were acknowledged and not answered."""
        return len(self._due)

    def begin(self) -> None:
        """Forget what was measured."""
        self.sent, self.replied, self.errors, self.late = [], [], 0, 0.0

    def at_rate(self, rate: float, seconds: float) -> None:
        """Send at a fixed rate, whatever comes back."""
        begin, index, count = time.perf_counter(), 0, int(rate * seconds)
        while index < count:
            now = time.perf_counter()
            late = []
            while index < count and begin + index / rate <= now:
                late.append(begin + index / rate)
                self.late = max(self.late, now - late[-1])
                index += 1
            if late:
                self._send(late)
            self._listen(begin + index / rate)

    def without_pause(self, callers: int, seconds: float) -> None:
        """Let so many callers send, each its next message when the last was acknowledged."""
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            free = callers - len(self._pending)
            if free:
                self._send([now] * free)
            self._listen(end)

    def rest(self) -> None:
        """Wait for what is still under way, for ten seconds at most."""
        patience = time.perf_counter() + 10
        while (self._due or self._pending) and time.perf_counter() < patience:
            self._listen(patience)

    def _request(self, due: float) -> bytes:
        self._number += 1
        id = str(self._number)
        conversation = Conversation(id=f"c{self._number % CONVERSATIONS}")
        message = Message(id=id, content=f"hello-{id} {'x' * 200}", conversation=conversation)
        message.metadata.update({"route": "abc"[self._number % 3]})
        self._due[id] = due
        stream_id, wire = self._calls.call(b"/oclaw.v1.Gateway/Send", SendRequest(message=message).SerializeToString())
        self._pending[stream_id] = (id, due)
        return wire

    def _send(self, dues: list[float]) -> None:
        self._calls.socket.sendall(b"".join([self._request(due) for due in dues]))

    def _listen(self, until: float) -> None:
        """Take in what has come, after waiting for it until then."""
        sockets = [self._calls.socket, self._events.socket]
        ready, _, _ = select.select(sockets, [], [], max(0.0, until - time.perf_counter()))
        if self._calls.socket in ready:
            for kind, flags, stream_id, _ in self._calls.hear():
                if kind == frames.DATA:
                    self._answered.add(stream_id)
                if kind == frames.RST_STREAM or (kind == frames.HEADERS and flags & END_STREAM):
                    self._ended(stream_id)
        if self._events.socket in ready:
            for kind, flags, _, body in self._events.hear():
                if kind == frames.DATA:
                    self._unpacker.feed(body)
                elif kind == frames.HEADERS and flags & END_STREAM:
                    raise SystemExit(f"the subscription ended: {body!r}")
            while (message := self._unpacker.take()) is not None:
                self._heard(Event.FromString(message))

    def _ended(self, stream_id: int) -> None:
        id, due = self._pending.pop(stream_id)
        if stream_id in self._answered:
            self._answered.discard(stream_id)
            self.sent.append(time.perf_counter() - due)
        else:
            self._due.pop(id, None)
            self.errors += 1

    def _heard(self, event: Event) -> None:
        due = self._due.pop(event.reply.message.reply_to, None)
        if due is not None:
            self.replied.append(time.perf_counter() - due)
