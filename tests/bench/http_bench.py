"""Measure the HTTP server and client on this machine: `python -m tests.bench.http_bench`.

Server in a process of its own on one core, load from this process on another (when there are
two), keep-alive POST of 600 bytes with a small JSON answer. What counts are the ratios to
`floor`, a server that reads and answers without looking: it is what the kernel and Python's
socket calls cost. CPU is that of the server's process.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import resource
import select
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Wire

import trio

from protocols.http1 import heads_h11, heads_httptools
from protocols.http1.heads import ReadHead
from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Peer, Response
from protocols.http1.reader import RequestReader
from protocols.http1.writer import answer_bytes
from protocols.http_client.client import HttpClient
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp

BODY = b'{"text":"' + b"x" * 589 + b'"}'  # 600 bytes
REQUEST = (
    b"POST /channels/bench HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"User-Agent: load\r\nAccept: */*\r\nX-Number: %012d\r\nContent-Length: 600\r\n\r\n"
) + BODY
FIELDS = (("Content-Type", "application/json"),)
ANSWER = Response(202, FIELDS, b'{"id":"0190b6c0-0000-7000-8000-000000000000"}')
ANSWER_BYTES = answer_bytes(202, FIELDS, ANSWER.body)

Serve = Callable[[Wire], None]


def hub_with(read_head: ReadHead) -> Serve:
    def serve(wire: Wire) -> None:
        async def main() -> None:
            hub = Hub(lambda exchange: exchange.answer(ANSWER), print, read_head=read_head)
            listeners = open_tcp("127.0.0.1", 0)
            async with trio.open_nursery() as nursery:
                await nursery.start(hub.serve, listeners)
                wire.send(listeners[0].port)
                await trio.lowlevel.wait_readable(wire.fileno())
                nursery.cancel_scope.cancel()

        trio.run(main)

    return serve


def task_per_connection(wire: Wire) -> None:
    async def talk(stream: trio.SocketStream) -> None:
        reader = RequestReader(heads_httptools.read_head, HttpLimits(), Peer("127.0.0.1"))
        sock = stream.socket
        while piece := await sock.recv(65536):
            reader.feed(piece)
            while reader.next_request() is not None:
                await sock.send(ANSWER_BYTES)

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, talk, listeners)
            wire.send(listeners[0].socket.getsockname()[1])
            await trio.lowlevel.wait_readable(wire.fileno())
            nursery.cancel_scope.cancel()

    trio.run(main)


def floor(wire: Wire) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    epoll, socks = select.epoll(), {}
    for descriptor in (listener.fileno(), wire.fileno()):
        epoll.register(descriptor, select.EPOLLIN)
    wire.send(listener.getsockname()[1])
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == wire.fileno():
                return
            if descriptor == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                socks[sock.fileno()] = sock
                epoll.register(sock.fileno(), select.EPOLLIN)
            elif received(socks[descriptor]):
                socks[descriptor].send(ANSWER_BYTES)
            else:
                epoll.unregister(descriptor)
                socks.pop(descriptor).close()


def received(sock: socket.socket) -> bytes:
    """Read what is there; nothing when the load has left with an answer unread."""
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""


def serve_on_core(serve: Serve, wire: Wire, core: int) -> None:
    pin(core)
    start = time.process_time()
    serve(wire)
    wire.send((time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def pin(core: int) -> None:
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


def load(port: int, seconds: float, connections: int, *, alike: bool) -> tuple[int, float, list[float]]:
    """Keep one request in flight on each connection; return how many, how long, and the latencies.

    `alike`: all heads are equal, as of a client that signs nothing; else each is another.
    """
    numbers = itertools.repeat(0) if alike else itertools.count()
    epoll = select.epoll()
    socks: dict[int, socket.socket] = {}
    sent: dict[int, float] = {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        socks[sock.fileno()] = sock
        epoll.register(sock.fileno(), select.EPOLLIN)
    begun = time.perf_counter()
    for descriptor, sock in socks.items():
        sock.send(REQUEST % next(numbers))
        sent[descriptor] = begun
    latencies: list[float] = []
    while (now := time.perf_counter()) < begun + seconds:
        for descriptor, _ in epoll.poll(1):
            socks[descriptor].recv(65536)
            latencies.append(now - sent[descriptor])
            sent[descriptor] = now
            socks[descriptor].send(REQUEST % next(numbers))
    took = time.perf_counter() - begun
    for sock in socks.values():
        sock.close()
    return len(latencies), took, latencies


def measure(serve: Serve, seconds: float, connections: int, *, alike: bool) -> tuple[float, float, float]:
    """Return requests per second, the server's CPU µs per request, and the 99th percentile in ms."""
    context = multiprocessing.get_context("fork")
    wire, far_wire = context.Pipe()
    process = context.Process(target=serve_on_core, args=(serve, far_wire, 0))
    process.start()
    count, took, latencies = load(wire.recv(), seconds, connections, alike=alike)
    wire.send("stop")
    cpu, _ = wire.recv()
    process.join()
    latencies.sort()
    return count / took, cpu / count * 1e6, latencies[int(len(latencies) * 0.99)] * 1e3


def measure_client(requests: int) -> float:
    """Return our client's CPU µs per request, sequential on one kept connection."""
    context = multiprocessing.get_context("fork")
    wire, far_wire = context.Pipe()
    process = context.Process(target=serve_on_core, args=(hub_with(heads_httptools.read_head), far_wire, 0))
    process.start()
    url = f"http://127.0.0.1:{wire.recv()}/channels/bench"

    async def main() -> float:
        async with HttpClient() as client:
            await client.request("POST", url, headers=FIELDS, body=BODY)
            start = time.process_time()
            for _ in range(requests):
                await client.request("POST", url, headers=FIELDS, body=BODY)
            return (time.process_time() - start) / requests * 1e6

    cpu = trio.run(main)
    wire.send("stop")
    wire.recv()
    process.join()
    return cpu


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--connections", type=int, default=32)
    chosen = options.parse_args()
    pin(1)
    hub = hub_with(heads_httptools.read_head)
    servers: dict[str, tuple[Serve, bool]] = {
        "floor": (floor, False),
        "hub, httptools": (hub, False),
        "hub, the same head each time": (hub, True),
        "hub, h11": (hub_with(heads_h11.read_head), False),
        "task per connection, httptools": (task_per_connection, False),
    }
    print(f"{'server':32}{'req/s':>9}{'of floor':>10}{'CPU µs':>8}{'p99 ms':>8}")
    best = 0.0
    for name, (serve, alike) in servers.items():
        rate, cpu, p99 = measure(serve, chosen.seconds, chosen.connections, alike=alike)
        best = best or rate
        print(f"{name:32}{rate:9.0f}{rate / best:10.2f}{cpu:8.1f}{p99:8.2f}")
    print(f"client, one connection: {measure_client(5000):.1f} CPU µs per request")


if __name__ == "__main__":
    main()
