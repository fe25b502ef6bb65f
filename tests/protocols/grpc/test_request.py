"""A request that the server refused unseen begins again: once, and with all that was said meanwhile."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocols.grpc.request import Request
from protocols.http2.errors import StreamRefused
from protocols.http2.events import Headers
from protocols.http2.held import Held
from protocols.http2.stream import Stream

OK: Headers = [(b":status", b"200")]


class Line:
    """The connection and its channel in one: notes what is said on which stream, and has room or none."""

    def __init__(self) -> None:
        self.held = Held()
        self.room = True
        self.streams: list[Stream] = []
        self.said: list[tuple[Any, ...]] = []

    async def open_stream(self, path: str, headers: Headers, *, end: bool) -> tuple[Any, Stream]:
        await trio.lowlevel.checkpoint()
        self.streams.append(Stream(self, len(self.streams)))
        return self, self.streams[-1]

    def refuse(self) -> None:
        self.room = True
        self.streams[-1].fail(StreamRefused("busy"))

    def release(self, stream: Stream) -> None:
        self.said.append((stream.id, "release"))

    def send_body(self, stream_id: int, body: bytes) -> bool:
        if self.room:
            self.said.append((stream_id, body))
        return self.room

    def end(self, stream_id: int, trailers: Headers | None = None) -> None:
        self.said.append((stream_id, "end"))

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None: ...

    def ended_by_us(self, stream_id: int) -> bool:
        return True

    def reset(self, stream_id: int, code: int) -> None: ...

    def consumed(self, stream_id: int, size: int) -> None: ...

    def flush(self) -> None: ...


async def test_a_task_that_sends_and_one_that_receives_begin_again_together(autojump_clock: MockClock) -> None:
    line = Line()
    request = Request(line, "/", list)
    await request.open()
    await request.send(b"before")
    line.room = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(request.response_headers)
        nursery.start_soon(request.send, b"after")
        await wait_all_tasks_blocked()
        line.refuse()
        await trio.sleep(1)
        line.streams[-1].begin(OK)
    assert line.said == [(0, b"before"), (0, "release"), (1, b"before"), (1, b"after")]


async def test_what_ends_while_it_begins_again_has_ended(autojump_clock: MockClock) -> None:
    line = Line()
    request = Request(line, "/", list)
    await request.open()
    await request.send(b"all")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(request.response_headers)
        await wait_all_tasks_blocked()
        line.refuse()
        await trio.sleep(0.001)
        request.end()
        await trio.sleep(1)
        line.streams[-1].begin(OK)
    assert line.said == [(0, b"all"), (0, "release"), (0, "end"), (1, b"all"), (1, "end")]
