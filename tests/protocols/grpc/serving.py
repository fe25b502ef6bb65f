"""A server on a loopback port, for every test that needs one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from protocols.grpc.events import GrpcEvent, HandlerCrashed
from protocols.grpc.server import methods_of, serve_h2
from tests.protocols.grpc.echo import Echo


class Server:
    def __init__(self) -> None:
        self.echo = Echo()
        self.events: list[GrpcEvent] = []
        self.draining = trio.Event()
        self.ended: list[Any] = []
        self.port = 0

    @property
    def bugs(self) -> list[str]:
        """The methods whose handlers crashed."""
        return [event.method for event in self.events if isinstance(event, HandlerCrashed)]


@asynccontextmanager
async def serving(services: list[Any] | None = None, **limits: Any) -> AsyncIterator[Server]:
    server = Server()
    methods = methods_of(services if services is not None else [server.echo])

    async def serve(stream: trio.SocketStream) -> None:
        server.ended.append(
            await serve_h2(
                stream,
                b"",
                methods,
                report=server.events.append,
                draining=server.draining,
                **limits,
            )
        )

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


async def until(true: Callable[[], bool]) -> None:
    """Let everybody run until it is so; the other side is a socket away, so there is nothing to wait on."""
    with trio.fail_after(60):
        while not true():
            await trio.sleep(0.001)
