"""Unary calls and bidi messages a second: our server, grpclib's asyncio server and grpc.aio, on the same load.

Each server runs in a process of its own on the first core; the load, ready-made HTTP/2 frames over a blocking
socket, on the second. Rounds alternate between the servers, and medians are compared, since a shared machine
drifts; the CPU time a server spends on one call is what drifts least.

    python tests/bench/grpc_bench.py
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("ours", "grpclib", "grpc.aio")
ROUNDS = 5
SECONDS = 1.0
CONCURRENT = 32
# Bidi: this many streams with this many messages under way on each.
STREAMS, AHEAD = 4, 64
PAYLOAD = b"sixteen bytes ok"


def main() -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    rates: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        running = {name: stack.enter_context(Server(name, cores[0])) for name in SERVERS}
        for _ in range(ROUNDS):
            for name, server in running.items():
                for kind, work in (("unary", unary), ("bidi", bidi)):
                    try:
                        rates.setdefault((kind, name), []).append(server.measure(work))
                    except (OSError, RuntimeError) as error:
                        raise SystemExit(f"{name} stopped answering {kind} calls: {error}") from error
    tell(rates)


def tell(rates: Mapping[tuple[str, str], list[tuple[float, float]]]) -> None:
    for kind in ("unary", "bidi"):
        median = {name: statistics.median(rate for rate, _ in rates[kind, name]) for name in SERVERS}
        for name in SERVERS:
            cpu = statistics.median(micros for _, micros in rates[kind, name])
            ours = statistics.median(micros for _, micros in rates[kind, "ours"])
            ratios = f"ours against it: {median['ours'] / median[name]:5.2f} in rate, {cpu / ours:5.2f} in CPU"
            print(f"{kind:6} {name:9} {median[name]:9.0f}/s  {cpu:7.1f} µs CPU each  {ratios}")


class Server:
    """One server process."""

    def __init__(self, name: str, core: int) -> None:
        self._core = core
        self._command = [sys.executable, __file__, name]

    def __enter__(self) -> Server:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        os.sched_setaffinity(self._process.pid, {self._core})
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def measure(self, work: Callable[[Load, float], int]) -> tuple[float, float]:
        """What it served a second, and what one cost it in microseconds of CPU."""
        with Load(self._port) as load:
            work(load, 0.2)
        with Load(self._port) as load:
            cpu, began = self._cpu_seconds(), time.perf_counter()
            done = work(load, SECONDS)
            took, spent = time.perf_counter() - began, self._cpu_seconds() - cpu
        return done / took, spent / done * 1e6

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- the load


class Load:
    """A connection that writes ready-made frames and counts what comes back."""

    def __init__(self, port: int) -> None:
        from hpack import Encoder
        from hyperframe.frame import SettingsFrame, WindowUpdateFrame

        self._encoder = Encoder()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Longer than any pause of a busy machine: a server that is stopped together with us has done no wrong.
        self._socket.settimeout(40)
        self._rest = b""
        self._next_id = 1
        self.data_bytes = 0
        wide = SettingsFrame(0, settings={4: 2**31 - 1}).serialize()
        room = WindowUpdateFrame(0, window_increment=2**31 - 65536).serialize()
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + wide + room)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def send(self, wire: bytes) -> None:
        self._socket.sendall(wire)

    def head(self, path: bytes) -> tuple[int, bytes]:
        """A new stream's number and its HEADERS frame."""
        stream_id = self._next_id
        self._next_id += 2
        block = self._encoder.encode([
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"127.0.0.1"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"user-agent", b"load/1"),
        ])  # fmt: skip
        return stream_id, frame(1, 4, stream_id, block)

    def receive(self) -> int:
        """Read once; the number of streams that ended. Adds to `data_bytes`, answers SETTINGS and PING."""
        came = self._socket.recv(1 << 18)
        if not came:
            raise RuntimeError("the server hung up")
        wire = self._rest + came
        at, ended, end = 0, 0, len(wire)
        while end - at >= 9:
            size = int.from_bytes(wire[at : at + 3])
            if end - at < 9 + size:
                break
            kind, flags = wire[at + 3], wire[at + 4]
            if kind == 0:
                self.data_bytes += size
            elif kind == 1 and flags & 1:
                ended += 1
            elif kind in (4, 6) and not flags & 1:
                self.send(frame(kind, 1, 0, wire[at + 9 : at + 9 + size] if kind == 6 else b""))
            elif kind in (3, 7):
                raise RuntimeError(f"the server gave up: {wire[at : at + 9 + size]!r}")
            at += 9 + size
        self._rest = wire[at:]
        return ended


def frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream_id.to_bytes(4) + body


def message() -> bytes:
    from google.protobuf.wrappers_pb2 import BytesValue

    body = BytesValue(value=PAYLOAD).SerializeToString()
    return b"\0" + len(body).to_bytes(4) + body


def unary(load: Load, seconds: float) -> int:
    """CONCURRENT calls at any time; each sends and gets one message."""
    body, done, until = message(), 0, time.perf_counter() + seconds

    def call() -> bytes:
        stream_id, head = load.head(b"/bench.Echo/Unary")
        return head + frame(0, 1, stream_id, body)

    load.send(b"".join(call() for _ in range(CONCURRENT)))
    while time.perf_counter() < until:
        ended = load.receive()
        done += ended
        load.send(b"".join(call() for _ in range(ended)))
    if load.data_bytes < done * len(body):
        raise RuntimeError("calls ended without their reply")
    return done


def bidi(load: Load, seconds: float) -> int:
    """A few streams on which as many messages are sent as come back, each in a frame of its own."""
    body, until = message(), time.perf_counter() + seconds
    streams = []
    for _ in range(STREAMS):
        stream_id, head = load.head(b"/bench.Echo/Chat")
        streams.append(frame(0, 0, stream_id, body))
        load.send(head + streams[-1] * AHEAD)
    answered = 0
    while time.perf_counter() < until:
        load.receive()
        came = load.data_bytes // len(body) - answered
        answered += came
        each, more = divmod(came, STREAMS)
        load.send(b"".join(one * (each + (index < more)) for index, one in enumerate(streams)))
    return answered


# -- the servers


class Echo:
    """The same handlers for ours and for grpclib's server."""

    async def Unary(self, stream: Any) -> None:
        await stream.send_message(await stream.recv_message())

    async def Chat(self, stream: Any) -> None:
        async for item in stream:
            await stream.send_message(item)

    def __mapping__(self) -> Mapping[str, Any]:
        from google.protobuf.wrappers_pb2 import BytesValue
        from grpclib.const import Cardinality, Handler

        kinds = {"Unary": Cardinality.UNARY_UNARY, "Chat": Cardinality.STREAM_STREAM}
        return {
            f"/bench.Echo/{n}": Handler(getattr(self, n), kind, BytesValue, BytesValue) for n, kind in kinds.items()
        }


def serve_ours() -> None:
    from functools import partial

    import trio

    from protocols.grpc.server import methods_of, serve_h2

    methods = methods_of([Echo()])

    async def serve(stream: trio.SocketStream) -> None:
        await serve_h2(stream, b"", methods)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            print(listeners[0].socket.getsockname()[1], flush=True)

    trio.run(run)


def serve_grpclib() -> None:
    import asyncio

    from grpclib.server import Server as AsyncioServer

    async def run() -> None:
        server = AsyncioServer([Echo()])
        # Named as TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms.
        with socket.socket(proto=socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            await server.start(sock=listener)
            print(listener.getsockname()[1], flush=True)
            await server.wait_closed()

    asyncio.run(run())


def serve_aio() -> None:
    import asyncio

    import grpc
    from google.protobuf.wrappers_pb2 import BytesValue

    async def unary_call(request: BytesValue, context: Any) -> BytesValue:
        return request

    async def chat(requests: Any, context: Any) -> Any:
        async for request in requests:
            yield request

    async def run() -> None:
        server = grpc.aio.server()
        types = {"request_deserializer": BytesValue.FromString, "response_serializer": BytesValue.SerializeToString}
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(unary_call, **types),
            "Chat": grpc.stream_stream_rpc_method_handler(chat, **types),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()

    asyncio.run(run())


if __name__ == "__main__":
    if sys.argv[1:]:
        {"ours": serve_ours, "grpclib": serve_grpclib, "grpc.aio": serve_aio}[sys.argv[1]]()
    else:
        main()
