"""The end of a drain: a connection stays until its peer has the last answers, and no longer than it is heard."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
import trio
from hyperframe.frame import SettingsFrame
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from protocols.http2.events import Header
from protocols.http2.frames import PREFACE
from protocols.http2.limits import Limits
from protocols.http2.server import serve_connection
from protocols.http2.stream import Stream
from protocols.transport.pipes import PlainPipe
from protocols.transport.stream import PipeStream
from protocols.transport.watch import open_watch
from tests.protocols.http2.peer import Peer, frames_of, window

OK: list[Header] = [(b":status", b"200")]
ANSWERS, ANSWER = 5, bytes(50_000)
PATIENCE = Limits(linger_seconds=10.0, drain_answer_seconds=2.0)


def tcp() -> tuple[PipeStream, PipeStream]:
    """Two ends with little room in the kernel, so that most of an answer waits in ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        theirs = socket.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    for end in (ours, theirs):
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return PipeStream(PlainPipe(ours)), PipeStream(PlainPipe(theirs))


async def answer(stream: Stream) -> None:
    stream.send_headers(OK)
    await stream.send(ANSWER)
    stream.end()
    await stream.sent()


def requests() -> bytes:
    peer = Peer()
    heads = [peer.headers(2 * number + 1, None, "END_STREAM").serialize() for number in range(ANSWERS)]
    return PREFACE + SettingsFrame(0).serialize() + window(0, 2**20).serialize() + b"".join(heads)


@asynccontextmanager
async def drained(ours: Any, theirs: Any, ended: list[object]) -> AsyncIterator[None]:
    """A server that has answered and drains; its peer has asked, and not read yet."""
    draining = trio.Event()

    async def serve() -> None:
        ended.append(await serve_connection(ours, answer, limits=PATIENCE, draining=draining))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await theirs.send_all(requests())
        await wait_all_tasks_blocked(0.01)
        draining.set()
        try:
            yield
        finally:
            await trio.aclose_forcefully(theirs)
        nursery.cancel_scope.cancel()


async def pass_by(clock: MockClock, seconds: float) -> None:
    await wait_all_tasks_blocked(0.01)
    clock.jump(seconds)
    await wait_all_tasks_blocked(0.01)


@pytest.mark.parametrize("watch", [open_watch, partial(nullcontext, None)], ids=["watched", "read by a task"])
async def test_a_reader_that_is_slow_but_heard_gets_all_of_the_last_answers(mock_clock: MockClock, watch: Any) -> None:
    ended: list[object] = []
    ours, theirs = tcp()
    place: AbstractAsyncContextManager[object] = watch()
    async with place, drained(ours, theirs, ended):
        for seconds in (2.1, 1.5, 1.5, 4.0):
            await pass_by(mock_clock, seconds)
        for _ in range(3):
            await theirs.send_all(window(0, 1).serialize())
            await pass_by(mock_clock, 9.0)
        wire = b""
        while piece := await theirs.receive_some():
            wire += piece
        frames = [Peer().tell(frame) for frame in frames_of(wire) if frame.type == 0]
        assert sum(len(frame[2]) for frame in frames) == ANSWERS * len(ANSWER)
        assert ended == []
        await theirs.aclose()
        await wait_all_tasks_blocked(0.01)
        assert ended == [None]


async def test_who_is_not_heard_any_more_is_cut(autojump_clock: MockClock) -> None:
    ended: list[object] = []
    ours, theirs = memory_stream_pair()
    async with drained(ours, theirs, ended):
        await trio.sleep(11)
        await theirs.send_all(window(0, 1).serialize())
        await trio.sleep(9)
        assert ended == []
        await trio.sleep(2)
        assert ended == [None]
