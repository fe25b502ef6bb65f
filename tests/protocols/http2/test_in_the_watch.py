"""A server's connection that a watch reads: no task for it, few writes for many answers, no harm to its neighbours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from hyperframe.frame import HeadersFrame, SettingsFrame

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Header
from protocols.http2.frames import PREFACE, ErrorCode
from protocols.http2.server import serve_connection
from protocols.http2.stream import Stream
from protocols.transport.bell import Bell
from protocols.transport.stream import PipeStream
from protocols.transport.watch import open_watch
from tests.protocols.http2.peer import Noted, Peer, frames_of, sockets

OK: list[Header] = [(b":status", b"200")]
PATIENCE_SECONDS = 60


async def never(stream: Stream) -> None:
    raise AssertionError("needed a task")


def requests(count: int) -> bytes:
    """A client's first bytes: its greeting, and so many requests without a body."""
    peer = Peer()
    heads = [peer.headers(2 * number + 1, None, "END_STREAM").serialize() for number in range(count)]
    return PREFACE + SettingsFrame(0).serialize() + b"".join(heads)


async def hear(stream: PipeStream, count: int) -> None:
    """Read until so many responses have come."""
    wire = b""
    while sum(isinstance(frame, HeadersFrame) for frame in whole_frames(wire)) < count:
        wire += await stream.receive_some()


def whole_frames(wire: bytes) -> list[object]:
    end = 0
    while end + 9 <= len(wire) and end + 9 + int.from_bytes(wire[end : end + 3]) <= len(wire):
        end += 9 + int.from_bytes(wire[end : end + 3])
    return list(frames_of(wire[:end]))


def answered(stream: Stream, release: Callable[[], None]) -> bool:
    stream.send_headers(OK, end=True)
    release()
    stream.flush()
    return True


@pytest.mark.parametrize("read_before", [0, 20, 10_000])
async def test_what_was_read_before_is_served_first(read_before: int) -> None:
    wire = requests(3)
    ours, theirs = sockets(tail=wire[:read_before])
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_watch(), trio.open_nursery() as nursery:
            nursery.start_soon(lambda: serve_connection(ours, never, at_once=answered))
            if wire[read_before:]:
                await theirs.send_all(wire[read_before:])
            await hear(theirs, 3)
            theirs.abort()


async def test_of_many_answers_in_one_turn_few_leave_alone_and_none_waits_for_all() -> None:
    ours, theirs = sockets()
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_watch(), trio.open_nursery() as nursery:
            nursery.start_soon(lambda: serve_connection(ours, never, at_once=answered))
            await theirs.send_all(requests(0))
            await trio.testing.wait_all_tasks_blocked(0.01)
            pipe = ours.pipe
            assert isinstance(pipe, Noted)
            pipe.pieces.clear()
            await theirs.send_all(requests(100)[len(requests(0)) :])
            await hear(theirs, 100)
            theirs.abort()
    # After the first, second, 4th, 8th, 16th, 32nd and 64th, and the rest.
    assert [count_heads(piece) for piece in pipe.pieces if count_heads(piece)] == [1, 1, 2, 4, 8, 16, 32, 36]


def count_heads(wire: bytes) -> int:
    return sum(isinstance(frame, HeadersFrame) for frame in frames_of(wire))


async def test_answers_that_another_thread_brings_about_leave_with_its_call() -> None:
    ours, theirs = sockets()
    held: list[Callable[[], None]] = []

    def later(stream: Stream, release: Callable[[], None]) -> bool:
        held.append(lambda: bool(answered(stream, release)))
        return True

    with trio.fail_after(PATIENCE_SECONDS):
        async with open_watch() as watch, trio.open_nursery() as nursery:
            bell = Bell(watch)
            nursery.start_soon(lambda: serve_connection(ours, never, at_once=later))
            await theirs.send_all(requests(2))
            while len(held) < 2:
                await trio.lowlevel.checkpoint()
            for each in held:
                await trio.to_thread.run_sync(bell.ring, each)
            await hear(theirs, 2)
            theirs.abort()
        bell.close()


async def test_what_the_socket_does_not_take_at_once_follows() -> None:
    ours, theirs = sockets()
    body = bytes(60_000)

    def long(stream: Stream, release: Callable[[], None]) -> bool:
        stream.send_headers(OK)
        stream.send_now(body)
        stream.end()
        release()
        stream.flush()
        return True

    with trio.fail_after(PATIENCE_SECONDS):
        async with open_watch(), trio.open_nursery() as nursery:
            ours.pipe.socket.setsockopt(1, 7, 4096)  # SOL_SOCKET, SO_SNDBUF
            nursery.start_soon(lambda: serve_connection(ours, never, at_once=long))
            await theirs.send_all(requests(1))
            heard = 0
            while heard < len(body):
                heard += len(await theirs.receive_some())
            theirs.abort()


async def test_a_bug_and_a_broken_rule_end_their_connection_and_no_other() -> None:
    def bug(stream: Stream, release: Callable[[], None]) -> bool:
        raise ZeroDivisionError

    ends: list[object] = []

    async def crashing(stream: PipeStream) -> None:
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            await serve_connection(stream, never, at_once=bug)
        ends.append("bug")

    async def broken(stream: PipeStream) -> None:
        ends.append(await serve_connection(stream, never))

    crash, rude, fine = sockets(), sockets(), sockets()
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_watch(), trio.open_nursery() as nursery:
            nursery.start_soon(crashing, crash[0])
            nursery.start_soon(broken, rude[0])
            nursery.start_soon(lambda: serve_connection(fine[0], never, at_once=answered))
            await crash[1].send_all(requests(1))
            await rude[1].send_all(b"GET / HTTP/1.1\r\n\r\n")
            while len(ends) < 2:
                await trio.lowlevel.checkpoint()
            await fine[1].send_all(requests(1))
            await hear(fine[1], 1)
            for _, theirs in (crash, rude, fine):
                theirs.abort()
    fault = next(end for end in ends if end != "bug")
    assert isinstance(fault, PeerBrokeRules)
    assert fault.code == ErrorCode.PROTOCOL_ERROR


async def test_a_peer_that_is_gone_ends_its_connection() -> None:
    ours, theirs = sockets()
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_watch(), trio.open_nursery() as nursery:
            nursery.start_soon(lambda: serve_connection(ours, never, at_once=answered))
            await theirs.send_all(requests(1))
            theirs.abort()
    assert ours.closed
