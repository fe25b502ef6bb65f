"""Measure `Send` through the whole durable flow: `python tests/bench/grpc_flow_bench.py [--rate 1000] [--seconds 8]`.

Runs conf/examples/bench with a grpc channel on a free port, pinned to one core, and calls it from another: first at a
fixed rate, where a late call counts as latency, then with 64 callers that never pause. A subscriber hears the replies.
Replies are whole, as on the webhook that flow_bench.py measures, unless --stream is given.
`sent` is from the moment a call was due until its acknowledgement, `replied` until the subscriber has the reply.

The load is frames over two blocking sockets: a client library in Python costs more for a call than the whole gateway,
and its own waiting would be taken for the gateway's.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.api.v1.gateway_pb2 import Event, SendRequest, SubscribeRequest
from gateway.api.v1.message_pb2 import Conversation, Message
from gateway.cli.measure.figures import quantile
from gateway.cli.measure.flow import our_cores
from gateway.cli.measure.scratch import Scratch, prepared, started
from protocols.grpc.framing import Unpacker, pack
from protocols.http2 import frames
from protocols.http2.cutting import CutFrame, Cutter
from protocols.http2.frames import END_HEADERS, END_STREAM, PREFACE, frame, settings_frame, window_frame
from protocols.http2.header_encoding import Encoder

TOKEN = "bench-token"
CHANNEL = '\n[channels.rpc]\ntype = "grpc"\ntokens = { bench = "file:token" }\n'
CALLERS = 64
# Enough that the order within a conversation holds nobody up.
CONVERSATIONS = 200


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


class Bench:
    """Calls on one connection, a subscription on another."""

    def __init__(self, port: int) -> None:
        self._calls, self._events = Wire(port), Wire(port)
        self._unpacker = Unpacker(most_bytes=2**24)
        self._number = 0
        self._pending: dict[int, tuple[str, float]] = {}
        self._answered: set[int] = set()
        self._due: dict[str, float] = {}
        self.sent: list[float] = []
        self.replied: list[float] = []
        self.errors = 0
        self._events.socket.sendall(
            self._events.call(b"/oclaw.v1.Gateway/Subscribe", SubscribeRequest().SerializeToString())[1]
        )

    def _request(self, due: float) -> bytes:
        self._number += 1
        id = str(self._number)
        conversation = Conversation(id=f"c{self._number % CONVERSATIONS}")
        message = Message(id=id, content=f"hello-{id}", conversation=conversation)
        message.metadata.update({"route": "abc"[self._number % 3]})
        self._due[id] = due
        stream_id, wire = self._calls.call(b"/oclaw.v1.Gateway/Send", SendRequest(message=message).SerializeToString())
        self._pending[stream_id] = (id, due)
        return wire

    def send(self, dues: list[float]) -> None:
        self._calls.socket.sendall(b"".join([self._request(due) for due in dues]))

    def listen(self, until: float) -> None:
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

    def at_rate(self, rate: float, seconds: float) -> None:
        begin, index, count = time.perf_counter(), 0, int(rate * seconds)
        while index < count:
            now = time.perf_counter()
            late = []
            while index < count and begin + index / rate <= now:
                late.append(begin + index / rate)
                index += 1
            if late:
                self.send(late)
            self.listen(begin + index / rate)

    def without_pause(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            free = CALLERS - len(self._pending)
            if free:
                self.send([now] * free)
            self.listen(end)

    def rest(self) -> None:
        patience = time.perf_counter() + 10
        while (self._due or self._pending) and time.perf_counter() < patience:
            self.listen(patience)

    def figures(self, name: str, took: float, cpu: float) -> None:
        share = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        of = {"sent": sorted(self.sent), "replied": sorted(self.replied)}
        ms = {what: {k: round(quantile(v, q) * 1e3, 2) for k, q in share.items()} for what, v in of.items() if v}
        rate, lost = round(len(self.replied) / took), len(self._due)
        print(
            json.dumps({"load": name, "per_s": rate, "errors": self.errors, "lost": lost, "cpu": round(cpu, 2), **ms})
        )
        self.sent, self.replied, self.errors = [], [], 0


def measure(scratch: Scratch, rate: float, seconds: float) -> None:
    while scratch.process.poll() is None:
        try:
            bench = Bench(scratch.port)
            break
        except OSError:
            time.sleep(0.05)
    bench.at_rate(200, 1.0)  # connections, imports and caches are warm afterwards
    bench.rest()
    bench.sent, bench.replied, bench.errors = [], [], 0
    for name, load in (
        (f"{rate:g}/s", lambda: bench.at_rate(rate, seconds)),
        (f"{CALLERS} callers", lambda: bench.without_pause(seconds)),
    ):
        began, cpu = time.perf_counter(), scratch.cpu_seconds()
        load()
        # Until the last reply: what only piled up does not count as done.
        bench.rest()
        took = time.perf_counter() - began
        bench.figures(name, took, (scratch.cpu_seconds() - cpu) / took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--stream", action="store_true", help="say replies in pieces, as a pipeline does by default")
    parser.add_argument("--disk", type=Path, help="where the journal is written")
    options = parser.parse_args()
    with our_cores() as core, prepared(options.disk, 9901) as (config, port):
        (config / "token").write_text(TOKEN)
        (config / "token").chmod(0o600)
        with (config / "oclaw.toml").open("a") as file:
            file.write(CHANNEL)
        for pipeline in (config / "pipelines.d").glob("*.yaml"):
            pipeline.write_text(f"stream: {str(options.stream).lower()}\n{pipeline.read_text()}")
        with started(config, port, core) as scratch:
            print(json.dumps({"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}))
            measure(scratch, options.rate, options.seconds)


main()
