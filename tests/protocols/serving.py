"""A hub on an ephemeral loopback port, and a raw client that understands answers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

import h11
import trio
import trustme

from protocols.http1.headers import Headers
from protocols.http1.heads import ReadHead
from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Response
from protocols.hub.events import HubEvent
from protocols.hub.exchange import Exchange
from protocols.hub.hub import Hub
from protocols.hub.state import H2Entrance
from protocols.transport.listeners import Listener, open_tcp
from protocols.transport.tls import Tls, server_context

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def hello(exchange: Exchange) -> None:
    exchange.answer(Response(200, (("Content-Type", "text/plain"),), b"hello"))


class Certificates:
    """A certificate authority, a server's context and a client's trust."""

    def __init__(self, folder: Path, *, offer_h2: bool = False) -> None:
        authority = trustme.CA()
        self.authority_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.authority_file)
        certificate = folder / "server.pem"
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        self.server = server_context(certificate, offer_h2=offer_h2)
        self.client = ssl.create_default_context(cafile=str(self.authority_file))


class Answer:
    """What a client got."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class RawClient:
    """Sends any bytes; reads answers with h11, an implementation that is not ours."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self.machine = h11.Connection(h11.CLIENT)

    async def send_all(self, piece: bytes) -> None:
        await self.stream.send_all(piece)

    async def answer(self, method: str = "GET") -> Answer:
        """Read one answer. Fails the test after five seconds."""
        machine = self.machine
        machine.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        machine.send(h11.EndOfMessage())
        status, headers, parts = 0, Headers([]), []
        with trio.fail_after(60):
            while True:
                event = machine.next_event()
                if event is h11.NEED_DATA:
                    machine.receive_data(await self.stream.receive_some())
                elif isinstance(event, h11.Response):
                    status, headers = event.status_code, Headers([(bytes(n), bytes(v)) for n, v in event.headers])
                elif isinstance(event, h11.Data):
                    parts.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    break
        if machine.our_state is h11.DONE and machine.their_state is h11.DONE:
            machine.start_next_cycle()
        return Answer(status, headers, b"".join(parts))

    async def rest(self) -> bytes:
        """Read until the end. Fails the test after five seconds."""
        parts = []
        with trio.fail_after(60):
            try:
                while piece := await self.stream.receive_some():
                    parts.append(piece)
            except trio.BrokenResourceError:
                pass
        return b"".join(parts)

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await trio.aclose_forcefully(self.stream)


class Site:
    """A running hub and how to reach it."""

    def __init__(self, hub: Hub, listener: Listener, events: list[HubEvent]) -> None:
        self.hub, self.listener, self.events = hub, listener, events
        self.address = listener.address
        self.port = listener.port
        self.over = trio.Event()

    async def connect(self) -> RawClient:
        if self.port:
            return RawClient(await trio.open_tcp_stream("127.0.0.1", self.port))
        return RawClient(await trio.open_unix_socket(self.address))

    async def serve(  # noqa: ASYNC128 the hub says when it has started
        self, *, task_status: trio.TaskStatus[list[str]]
    ) -> None:
        await self.hub.serve([self.listener], task_status=task_status)
        self.over.set()


@asynccontextmanager
async def open_site(
    dispatch: Callable[[Exchange], None] = hello,
    *,
    limits: HttpLimits | None = None,
    tls: ssl.SSLContext | None = None,
    listener: Listener | None = None,
    read_head: ReadHead | None = None,
    h2_entrance: H2Entrance | None = None,
    reluctant: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Site]:
    """Serve until the block is left."""
    events: list[HubEvent] = []
    hub = Hub(dispatch, events.append, limits=limits, read_head=read_head, h2_entrance=h2_entrance, reluctant=reluctant)
    site = Site(hub, listener or open_tcp("127.0.0.1", 0, tls=None if tls is None else Tls(tls))[0], events)
    async with trio.open_nursery() as nursery:
        await nursery.start(site.serve)
        yield site
        nursery.cancel_scope.cancel()
