"""More load than a gateway can take, and an honest account of what it does with it. One thread, plain epoll.

Open loop: a message is due at its moment whether or not others were answered. With no connection free it is
not sent but counted as held back: that is how a gateway looks that reads its sockets more slowly. Times count
from the moment the bytes left here, so that what waits in the kernel's buffers counts as the gateway's.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

from msgspec import Struct

from gateway.cli.measure.figures import quantile
from gateway.cli.measure.wire import Line

# What is accepted is answered in milliseconds; a machine that stands still may take its time.
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.01
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_NUMBER = re.compile(rb'"id"\s*:\s*"(\d+)')
_IDENTITY = re.compile(rb"(?i)\r\nwebhook-id: *([^\r]+)")
_DIGITS = 9
# So many that no single conversation, whose messages go one after the other, is what limits the whole.
USERS = tuple(f"u{number:03}" for number in range(997))
_now = time.perf_counter


class Account(Struct, kw_only=True):
    """What became of the messages of one stretch of load; `times` are (sent at, seconds until the reply came),
    `acks` the seconds until the 202.

    A reply that came twice under one `webhook-id` was `repeated`, under two `duplicated`. `reordered` came before the
    reply to a message of its conversation that had been acknowledged when its own was sent.
    """

    seconds: float
    due: int = 0
    held: int = 0
    accepted: int = 0
    refused: int = 0
    without_retry_after: int = 0
    failed: int = 0
    lost: int = 0
    repeated: int = 0
    duplicated: int = 0
    reordered: int = 0
    took_seconds: float = 0.0
    generator_cpu: float = 0.0
    times: list[tuple[float, float]] = []
    acks: list[float] = []
    refused_at: list[float] = []
    began: float = 0.0

    @property
    def goodput(self) -> float:
        """Messages accepted a second."""
        return self.accepted / self.took_seconds

    def p(self, share: float) -> float:
        """Return the milliseconds within which that share of the accepted messages was answered at the sink."""
        return quantile(sorted(took for _, took in self.times), share) * 1e3

    def recovered_after(self, within: float) -> float:
        """Return how long after the beginning the last message was refused, or took longer than `within` seconds."""
        bad = self.refused_at + [at for at, took in self.times if took > within]
        return max(bad) - self.began if bad else 0.0


class Flood:
    """Sends to a gateway that runs conf/examples/bench, and hears its replies at `sink_port`.

    Each of `users`, whose names are equally long, has a conversation of his own; they talk in turns, as do `routes`.
    """

    def __init__(self, path: str, connections: int, *, users: Sequence[str] = USERS, routes: str = "abc") -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.sink_port: int = self._listener.getsockname()[1]
        self._path, self._most, self._users, self._routes = path, connections, users, routes
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._sinks: dict[int, Line] = {}
        self._lines: dict[int, Line] = {}
        self._free: deque[Line] = deque()
        self._number = self._first = 0
        self._sent: dict[int, float] = {}
        self._accepted: set[int] = set()
        self._identities: dict[int, bytes] = {}
        # By number: what is acknowledged and not answered, in a conversation; and what was so when a message was sent.
        self._open: dict[int, set[int]] = {}
        self._before: dict[int, tuple[int, ...]] = {}
        self._account = Account(seconds=0)
        self._replied: Callable[[], None] = lambda: None

    def aim(self, port: int) -> None:
        """Send to the gateway at this port."""
        head = f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        tail = f'","text":"hello {"x" * 200}","reply_to":"http://127.0.0.1:{self.sink_port}/sink"}}'
        talkers = zip(self._users, cycle(self._routes), strict=False)
        self._tails = [f'","route":"{route}","user":"{user}{tail}'.encode() for user, route in talkers]
        length = len('{"id":"') + _DIGITS + len(self._tails[0])
        self._head = f'{head}Content-Length: {length}\r\n\r\n{{"id":"'.encode()
        self._address = ("127.0.0.1", port)

    def close(self) -> None:
        """Let go of every connection."""
        for line in (*self._lines.values(), *self._sinks.values()):
            line.plug.close()
        self._listener.close()
        self._epoll.close()

    def first_reply(self, seconds: float) -> None:
        """Return when a gateway that is starting has answered its first message.

        The time is counted in looks: a machine that stands still takes one of them.
        """
        looks = round(seconds / _LOOK_SECONDS)
        while not self._lines:
            try:
                self._connect()
            except OSError:
                looks -= 1
                if not looks:
                    raise
                time.sleep(_LOOK_SECONDS)
        self.closed(1, 0.0)

    def closed(self, window: int, seconds: float) -> float:
        """Keep `window` messages under way, a new one for each reply; return the replies a second."""
        account = self._begin(seconds)
        ends = account.began + seconds
        more = [window]

        def replied() -> None:
            more[0] += _now() < ends

        self._replied = replied
        while more[0] or self._sent:
            while more[0] and self._line() is not None:
                more[0] -= 1
                self._send()
            self._hear(0.01)
        self._replied = lambda: None
        return len(account.times) / max(account.took_seconds or _now() - account.began, 1e-9)

    def offer(self, rate: float, seconds: float) -> Account:
        """Offer messages at a fixed rate, then wait for the replies to all that were accepted."""
        account, own = self._begin(seconds), time.process_time()
        account.due = int(rate * seconds)
        for number in self._moments(account.began, rate, account.due):
            if self._line() is None:
                account.held += 1
            else:
                self._send()
            if not number % 16:
                self._hear(0.0)
        account.took_seconds = _now() - account.began
        account.generator_cpu = (time.process_time() - own) / account.took_seconds
        ends = _now() + PATIENCE_SECONDS
        while self._sent and _now() < ends:
            self._hear(0.02)
        account.lost = len(self._sent.keys() & self._accepted)
        return account

    def _moments(self, began: float, rate: float, count: int) -> Iterator[int]:
        for number in range(count):
            while (early := began + number / rate - _now()) > 0:
                self._hear(early)
            yield number

    def _begin(self, seconds: float) -> Account:
        self._first = self._number
        self._sent.clear()
        self._accepted.clear()
        self._identities.clear()
        self._open.clear()
        self._before.clear()
        self._account = Account(seconds=seconds, began=_now(), times=[], acks=[], refused_at=[])
        return self._account

    def _line(self) -> Line | None:
        if not self._free and len(self._lines) < self._most:
            self._connect()
        return self._free[0] if self._free else None

    def _connect(self) -> None:
        plug = socket.create_connection(self._address)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = self._lines[plug.fileno()] = Line(plug)
        self._free.append(line)
        self._epoll.register(plug, select.EPOLLIN)

    def _send(self) -> None:
        line, number = self._free.popleft(), self._number
        self._number += 1
        line.number, line.sent = number, _now()
        self._sent[number] = line.sent
        if opened := self._open.get(number % len(self._tails)):
            self._before[number] = tuple(opened)
        try:
            line.plug.sendall(b"%b%09d%b" % (self._head, number, self._tails[number % len(self._tails)]))
        except OSError:
            self._drop(line)

    def _hear(self, seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(seconds if seconds < 0.001 else seconds - 0.001):
            if descriptor in self._sinks:
                self._replies(self._sinks[descriptor])
            elif descriptor in self._lines:
                self._answers(self._lines[descriptor])
            else:
                plug, _ = self._listener.accept()
                plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sinks[plug.fileno()] = Line(plug)
                self._epoll.register(plug, select.EPOLLIN)

    def _replies(self, line: Line) -> None:
        messages = line.read()
        if messages is None:
            del self._sinks[line.plug.fileno()]
            self._hang_up(line)
            return
        now = _now()
        if messages:
            line.plug.sendall(_OK * len(messages))
        for head, body in messages:
            found = _NUMBER.search(body)
            number = int(found[1]) if found else -1
            identity = _IDENTITY.search(head)
            sent = self._sent.pop(number, None)
            if sent is not None:
                self._identities[number] = identity[1] if identity else b""
                self._account.times.append((sent, now - sent))
                self._in_order(number)
                self._replied()
            elif number >= self._first:  # else a straggler of the stretch before
                again = identity is not None and self._identities.get(number) == identity[1]
                self._account.repeated += again
                self._account.duplicated += not again

    def _in_order(self, number: int) -> None:
        opened = self._open.get(number % len(self._tails), set())
        self._account.reordered += any(each in opened for each in self._before.pop(number, ()))
        opened.discard(number)

    def _answers(self, line: Line) -> None:
        messages = line.read()
        if messages is None:
            self._drop(line)
            return
        account, now = self._account, _now()
        for head, _ in messages:
            number, line.number = line.number, -1
            if head.startswith(b"HTTP/1.1 202"):
                account.accepted += 1
                self._accepted.add(number)
                if number in self._sent:
                    self._open.setdefault(number % len(self._tails), set()).add(number)
                account.acks.append(now - line.sent)
            else:
                self._refuse(number, head)
            self._free.append(line)

    def _refuse(self, number: int, head: bytes) -> None:
        account = self._account
        self._sent.pop(number, None)
        if head.startswith(b"HTTP/1.1 503"):
            account.refused += 1
            account.refused_at.append(_now())
            account.without_retry_after += b"\r\nRetry-After: " not in head
        else:
            account.failed += 1

    def _drop(self, line: Line) -> None:
        if line.number >= 0:
            self._account.failed += 1
            self._sent.pop(line.number, None)
        if line in self._free:
            self._free.remove(line)
        del self._lines[line.plug.fileno()]
        self._hang_up(line)

    def _hang_up(self, line: Line) -> None:
        self._epoll.unregister(line.plug)  # closing is not enough where a forked process has it, too
        line.plug.close()
