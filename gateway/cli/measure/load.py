"""An open-loop load generator and the sink its messages' replies arrive at, in one thread.

Message i is due at start + i / rate, whether or not the ones before it were answered, and its time counts
from that moment: a wait in here, in the kernel or in the gateway is never left out. Plain epoll instead of an
event loop: it costs a fraction of what it measures, and its pauses are not rounded to milliseconds.
"""

from __future__ import annotations

import json
import re
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable

from gateway.cli.measure.figures import Window, quantile
from gateway.cli.measure.wire import Line

# Connections to the gateway at most; a message for which none is free waits, and its clock runs.
CONNECTIONS = 256
# How long after the last message stragglers may arrive before they count as lost.
PATIENCE_SECONDS = 5.0
ROUTES = "abc"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_NUMBER = re.compile(rb'"id"\s*:\s*"?(\d+)')
_now = time.monotonic


class Load:
    """Sends to http://127.0.0.1:port/path, hears at `sink_port`. One at a time; message numbers never repeat."""

    def __init__(self, path: str, sink_port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", sink_port), backlog=1024)
        self.sink_port: int = self._listener.getsockname()[1]
        self._path, self._address = path, ("127.0.0.1", 0)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._out: dict[int, Line] = {}
        self._in: dict[int, Line] = {}
        self._free: list[Line] = []
        self._waiting: deque[int] = deque()
        self._number = 0
        self._late = 0.0
        self._begin(0)

    def aim(self, port: int) -> None:
        """Send to another gateway from now on."""
        for line in self._out.values():
            line.plug.close()
        self._out, self._free, self._address = {}, [], ("127.0.0.1", port)

    def close(self) -> None:
        """Let go of every connection."""
        self.aim(0)
        for line in self._in.values():
            line.plug.close()
        self._listener.close()
        self._epoll.close()

    def first_reply(self, give_up: float) -> float:
        """Send one message as soon as the gateway listens; return when its reply arrived (time.monotonic)."""
        self._begin(1)
        while not self._out:
            try:
                self._connect()
            except OSError:
                if _now() > give_up:
                    raise
                time.sleep(0.001)
        self._send(_now())
        while not self._times and _now() < give_up:
            self._hear(0.05)
        return self._last

    def run(self, rate: float, seconds: float, spent: Callable[[], float]) -> Window:
        """Send at a fixed rate, then wait for stragglers; `spent` tells the gateway's CPU seconds so far."""
        total = max(1, int(rate * seconds))
        self._begin(total)
        own, theirs, start = time.process_time(), spent(), _now()
        due, number = start, 0
        while number < total:
            now = _now()
            while number < total and due <= now:
                self._late = max(self._late, now - due)
                self._send(due)
                number += 1
                due = start + number / rate
            self._hear(max(0.0, due - _now()))
        own, theirs, sent_at = time.process_time() - own, spent() - theirs, _now()
        while len(self._times) + self._refused < total and _now() < sent_at + PATIENCE_SECONDS:
            self._hear(0.02)
        return self._window(rate, seconds, start, own / (sent_at - start), theirs / (sent_at - start))

    def keep(self, under_way: int, seconds: float) -> int:
        """Keep so many messages under way, up to 100,000 in all; return how many were replied to in that time."""
        self._begin(100_000)
        until, sent = _now() + seconds, 0
        while _now() < until:
            while sent - len(self._times) - self._refused < under_way:
                self._send(_now())
                sent += 1
            self._hear(max(0.0, until - _now()))
        replied, give_up = len(self._times), _now() + PATIENCE_SECONDS
        while len(self._times) + self._refused < sent and _now() < give_up:
            self._hear(0.02)
        return replied

    def _begin(self, total: int) -> None:
        self._base, self._number = self._number, self._number + total
        self._due: list[float] = []
        self._seen = bytearray(total)
        self._times: list[float] = []
        self._acks: list[float] = []
        self._errors: Counter[str] = Counter()
        self._repeated, self._late, self._last = 0, 0.0, 0.0
        self._refused = 0  # no reply will come
        self._waiting.clear()

    def _send(self, due: float) -> None:
        self._due.append(due)
        self._waiting.append(self._base + len(self._due) - 1)
        if not self._free and len(self._out) < CONNECTIONS:
            try:
                self._connect()
            except OSError:
                self._errors["connect"] += 1
        self._flush()

    def _flush(self) -> None:
        while self._waiting and self._free:
            line = self._free.pop()
            line.number = self._waiting.popleft()
            try:
                line.plug.sendall(self._request(line.number))
            except OSError:
                self._drop(line)

    def _request(self, number: int) -> bytes:
        body = json.dumps(
            {
                "id": number,
                "route": ROUTES[number % len(ROUTES)],
                "user": f"u{number % 97}",
                "text": "hello " + "x" * 200,
                "reply_to": f"http://127.0.0.1:{self.sink_port}/sink",
            }
        )
        return (
            f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._address[1]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _connect(self) -> None:
        plug = socket.create_connection(self._address)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(plug)
        self._out[plug.fileno()] = line
        self._free.append(line)
        self._epoll.register(plug, select.EPOLLIN)

    def _hear(self, seconds: float) -> None:
        # epoll's own timeout is rounded up to a millisecond, select's is not.
        select.select([self._epoll], (), (), seconds)
        for number, _ in self._epoll.poll(0):
            if number in self._in:
                self._arrivals(self._in[number])
            elif number in self._out:
                self._answers(self._out[number])
            else:
                plug, _ = self._listener.accept()
                self._in[plug.fileno()] = Line(plug)
                self._epoll.register(plug, select.EPOLLIN)

    def _arrivals(self, line: Line) -> None:
        now, messages = _now(), line.read()
        if messages is None:
            del self._in[line.plug.fileno()]
            line.plug.close()
            return
        for _, body in messages:
            line.plug.sendall(_OK)
            found = _NUMBER.search(body)
            index = int(found[1]) - self._base if found else -1
            if not 0 <= index < len(self._due):
                continue  # a straggler of the window before
            if self._seen[index]:
                self._repeated += 1
                continue
            self._seen[index], self._last = 1, now
            self._times.append(now - self._due[index])

    def _answers(self, line: Line) -> None:
        now, messages = _now(), line.read()
        if messages is None:
            self._drop(line)
            return
        for head, _ in messages:
            index = line.number - self._base
            line.number = -1
            if head[9:10] != b"2":
                self._errors[head[9:12].decode()] += 1
                self._refused += index >= 0
            elif 0 <= index < len(self._due):
                self._acks.append(now - self._due[index])
            if b"connection: close" in head.lower():
                self._drop(line)
            else:
                self._free.append(line)
        self._flush()

    def _drop(self, line: Line) -> None:
        if line.number >= 0:
            self._errors["connection"] += 1
        del self._out[line.plug.fileno()]
        if line in self._free:
            self._free.remove(line)
        line.plug.close()

    def _window(self, rate: float, seconds: float, start: float, load_cpu: float, cpu: float) -> Window:
        times, acks = sorted(self._times), sorted(self._acks)
        spent = max(seconds, self._last - start)
        return Window(
            rate=rate,
            seconds=seconds,
            sent=len(self._due),
            arrived=len(times),
            repeated=self._repeated,
            errors=dict(self._errors),
            achieved=len(times) / spent,
            p50_ms=quantile(times, 0.5) * 1e3,
            p90_ms=quantile(times, 0.9) * 1e3,
            p99_ms=quantile(times, 0.99) * 1e3,
            p999_ms=quantile(times, 0.999) * 1e3,
            max_ms=(times[-1] if times else 0.0) * 1e3,
            ack_p50_ms=quantile(acks, 0.5) * 1e3,
            ack_p99_ms=quantile(acks, 0.99) * 1e3,
            late_ms=self._late * 1e3,
            load_cpu=load_cpu,
            cpu=cpu,
        )
