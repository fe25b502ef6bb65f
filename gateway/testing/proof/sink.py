"""Where the answers go: a little server that books what arrives, and misbehaves when it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from gateway.testing.proof.account import Account, Place
from gateway.testing.proof.wire import Broken, Read, Wire

# A destination that does not answer is cut off with its connection, not waited for.
Manner = Callable[[Read], Awaitable[str | None]]


async def _kind(_request: Read) -> str | None:
    await trio.lowlevel.checkpoint()
    return "200 OK"


class Sink:
    """`manner` decides each answer: a status line, or None to hang up; what gets a 200 is booked before it is said."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.manner: Manner = _kind
        self.port = 0
        self.heard = 0

    def be_kind(self) -> None:
        """Take everything again."""
        self.manner = _kind

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end."""
        wire = Wire(stream)
        try:
            while (request := await wire.read()) is not None:
                self.heard += 1
                status = await self.manner(request)
                if status is None:
                    break
                if status.startswith("2"):
                    self._account.arrives(*_booked(request))
                await wire.write([f"HTTP/1.1 {status}"], b"")
        except Broken:
            pass
        finally:
            wire.close()


def _booked(request: Read) -> tuple[Place, str]:
    room, _, number = str(json.loads(request.body)["id"]).partition("/")
    return (room, int(number)), request.fields["webhook-id"]


@asynccontextmanager
async def open_sink(account: Account) -> AsyncIterator[Sink]:
    """Listen on loopback; leaving cuts every connection."""
    sink = Sink(account)
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, sink.serve, 0, host="127.0.0.1"))
        sink.port = listener.socket.getsockname()[1]
        yield sink
        nursery.cancel_scope.cancel()
