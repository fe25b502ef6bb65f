"""A caller that speaks in frames to our server, on a memory stream and a mocked clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from hyperframe.frame import Frame
from trio.testing import MemoryReceiveStream, memory_stream_pair, wait_all_tasks_blocked

from protocols.grpc.calls import Calls
from protocols.grpc.events import GrpcEvent
from protocols.grpc.quick import QuickMethod
from protocols.grpc.server import GrpcLimits, Service, methods_of, serve_h2
from protocols.http2.frames import PREFACE
from protocols.http2.limits import Limits
from tests.protocols.grpc.echo import Echo
from tests.protocols.http2.peer import REQUEST, Peer, frames_of, raw

SETTINGS = raw(4, 0, 0, b"")


class Wire:
    """The client's end of the connection."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.peer = Peer()
        self.ended: list[Any] = []
        self.events: list[GrpcEvent] = []
        self.echo = Echo()

    async def say(self, *frames: bytes | Frame) -> None:
        await self.stream.send_all(b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames))
        await wait_all_tasks_blocked()

    async def hears(self) -> list[tuple[Any, ...]]:
        """What the server has sent, without its settings and windows."""
        await wait_all_tasks_blocked()
        receive: MemoryReceiveStream = self.stream.receive_stream
        wire = b""
        with trio.move_on_after(0.001):
            while got := await receive.receive_some():
                wire += got
        told = [self.peer.tell(frame) for frame in frames_of(wire)]
        return [frame for frame in told if frame[0] not in ("settings", "window")]

    def request(self, stream_id: int, *changes: tuple[bytes, bytes], end: bool = False) -> Frame:
        fields = dict(REQUEST) | dict(changes)
        return self.peer.headers(stream_id, list(fields.items()), *(["END_STREAM"] if end else []))


@asynccontextmanager
async def connected(
    limits: Limits | None = None,
    *,
    already_read: int = 0,
    greet: bool = True,
    calls: Calls | None = None,
    grpc: GrpcLimits | None = None,
    services: tuple[Service, ...] = (),
    quick: Mapping[bytes, QuickMethod] | None = None,
    draining: trio.Event | None = None,
) -> AsyncIterator[Wire]:
    ours, theirs = memory_stream_pair()
    wire = Wire(theirs)
    greeting = PREFACE + SETTINGS

    async def serve() -> None:
        read = greeting[:already_read]
        methods = methods_of([wire.echo, *services])
        report = wire.events.append
        broke = await serve_h2(
            ours, read, methods, limits=grpc, http2=limits, report=report, calls=calls, quick=quick, draining=draining
        )
        wire.ended.append(broke)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        if greet:
            await wire.say(greeting[already_read:])
        yield wire
        nursery.cancel_scope.cancel()


def trailers(frames: list[tuple[Any, ...]], stream_id: int = 1) -> dict[bytes, bytes]:
    return {k: v for frame in frames if frame[:2] == ("headers", stream_id) for k, v in frame[2]}
