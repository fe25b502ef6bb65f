"""Calls that are answered without a task: on the wire they look like all others, and nothing they do reaches more
than themselves.
"""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import trio
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hyperframe.frame import SettingsFrame
from trio.testing import MockClock

from protocols.grpc.calls import Calls
from protocols.grpc.events import CallEnded, HandlerCrashed
from protocols.grpc.framing import pack
from protocols.grpc.metadata import Metadata
from protocols.grpc.quick import Outcome
from protocols.http2.limits import Limits
from tests.protocols.grpc.wire import connected, trailers
from tests.protocols.http2.peer import data, reset, window

PATH = b"/test.Echo/Unary"
HELLO = pack(BytesValue(value=b"hello").SerializeToString())


class Desk:
    """Echoes what it is told to on the spot, keeps the rest until the test answers it."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.kept: list[Outcome] = []

    def echo(self, request: Any, metadata: Metadata, outcome: Outcome) -> bool:
        self.asked.append(request.value)
        match request.value:
            case b"later":
                self.kept.append(outcome)
            case b"refuse":
                raise GRPCError(Status.NOT_FOUND, "not here")
            case b"bug":
                raise RuntimeError("a secret")
            case b"nonsense":
                outcome(object())
            case b"task":
                return False
            case _:
                outcome(BytesValue(value=request.value))
        return True


def say(value: bytes) -> bytes:
    return pack(BytesValue(value=value).SerializeToString())


async def test_on_the_wire_it_looks_like_any_call(autojump_clock: MockClock) -> None:
    desk, heard = Desk(), []
    for quick in (None, {PATH: desk.echo}):
        async with connected(quick=quick) as wire:
            await wire.say(wire.request(1), data(1, HELLO, "END_STREAM"))
            heard.append(await wire.hears())
            assert wire.events == [CallEnded(PATH.decode(), Status.OK, 0.0)]
    assert heard[0] == heard[1]
    assert desk.asked == [b"hello"]


ODD = {
    "no POST": ((b":method", b"PUT"), HELLO),
    "another content": ((b"content-type", b"text/plain"), HELLO),
    "a bad deadline": ((b"grpc-timeout", b"soon"), HELLO),
    "bad metadata": ((b"x-bin", b"!!!"), HELLO),
    "gzip": ((b"grpc-encoding", b"gzip"), b"\x01" + len(gzip.compress(b"")).to_bytes(4) + gzip.compress(b"")),
    "an encoding nobody knows": ((b"grpc-encoding", b"snappy"), HELLO),
    "no protobuf": ((b"x", b"y"), pack(b"\xff\xff")),
    "half a message": ((b"x", b"y"), HELLO[:-1]),
    "two messages": ((b"x", b"y"), HELLO * 2),
    "too large": ((b"x", b"y"), b"\0\xff\xff\xff\xff"),
    "nothing": ((b"x", b"y"), b""),
    "what the method leaves": ((b"x", b"y"), say(b"task")),
}


@pytest.mark.parametrize(("change", "body"), ODD.values(), ids=ODD)
async def test_what_is_out_of_the_ordinary_is_answered_in_the_usual_way(
    autojump_clock: MockClock, change: tuple[bytes, bytes], body: bytes
) -> None:
    heard, events = [], []
    desk = Desk()
    for quick in (None, {PATH: desk.echo}):
        async with connected(quick=quick) as wire:
            await wire.say(wire.request(1, change), data(1, body, "END_STREAM"))
            heard.append(await wire.hears())
            events.append([repr(event) for event in wire.events])
    assert heard[0] == heard[1]
    assert events[0] == events[1]


async def test_a_request_in_pieces_is_served_in_the_usual_way(autojump_clock: MockClock) -> None:
    desk = Desk()
    async with connected(quick={PATH: desk.echo}) as wire:
        await wire.say(wire.request(1), data(1, HELLO[:7]))
        await wire.say(data(1, HELLO[7:], "END_STREAM"))
        assert trailers(await wire.hears())[b"grpc-status"] == b"0"
    assert desk.asked == []


async def test_what_a_method_raises_is_its_calls_end(autojump_clock: MockClock) -> None:
    async with connected(quick={PATH: Desk().echo}) as wire:
        for number, value in ((1, b"refuse"), (3, b"bug"), (5, b"nonsense"), (7, b"fine")):
            await wire.say(wire.request(number), data(number, say(value), "END_STREAM"))
        frames = await wire.hears()
        assert trailers(frames, 1)[b"grpc-message"] == b"not here"
        assert (trailers(frames, 3)[b"grpc-status"], b"secret" in trailers(frames, 3)[b"grpc-message"]) == (
            b"13",
            False,
        )
        assert ("reset", 5, 2) in frames
        assert trailers(frames, 7)[b"grpc-status"] == b"0"
    bugs = [event for event in wire.events if isinstance(event, HandlerCrashed)]
    assert [type(bug.error).__name__ for bug in bugs] == ["RuntimeError", "AttributeError"]
    ended = [event.status for event in wire.events if isinstance(event, CallEnded)]
    assert ended == [Status.NOT_FOUND, Status.INTERNAL, None, Status.OK]


async def test_an_answer_may_come_later_and_only_once(autojump_clock: MockClock) -> None:
    desk = Desk()
    async with connected(quick={PATH: desk.echo}) as wire:
        await wire.say(wire.request(1), data(1, say(b"later"), "END_STREAM"))
        assert await wire.hears() == []
        await trio.sleep(2)
        for _ in range(2):
            desk.kept[0](BytesValue(value=b"done"))
        assert trailers(await wire.hears())[b"grpc-status"] == b"0"
        (ended,) = wire.events
        assert isinstance(ended, CallEnded) and round(ended.seconds) == 2


@pytest.mark.parametrize("how", ["reset", "gone"])
async def test_an_answer_for_nobody_is_dropped(autojump_clock: MockClock, how: str) -> None:
    desk, calls = Desk(), Calls()
    async with connected(quick={PATH: desk.echo}, calls=calls) as wire:
        await wire.say(wire.request(1), data(1, say(b"later"), "END_STREAM"))
        if how == "reset":
            await wire.say(reset(1))
        else:
            await wire.stream.aclose()
            await trio.sleep(2)
            assert wire.ended == [None]
        desk.kept[0](BytesValue(value=b"done"))
        assert wire.events == [CallEnded(PATH.decode(), None, wire.events[0].seconds)]
        await calls.finished()
        assert calls.held.bytes == 0


CLOSED = {"of the stream": {4: 0}, "of the connection": {4: 2**20}}


@pytest.mark.parametrize("settings", CLOSED.values(), ids=CLOSED)
async def test_an_answer_waits_for_a_window_that_is_closed(autojump_clock: MockClock, settings: dict[int, int]) -> None:
    desk, calls = Desk(), Calls()
    # The first leaves too little of the connection's window for the second.
    values = {1: bytes(60_000), 3: bytes(10_000)}
    async with connected(quick={PATH: desk.echo}, calls=calls) as wire:
        await wire.say(SettingsFrame(0, settings=settings))
        for number, value in values.items():
            await wire.say(wire.request(number), data(number, say(value), "END_STREAM"))
        frames = await wire.hears()
        assert (len(desk.asked), calls.held.bytes, b"grpc-status" in trailers(frames, 3)) == (2, 0, False)
        await wire.say(window(0, 10_000), window(1, 100_000), window(3, 100_000))
        frames += await wire.hears()
        for number, value in values.items():
            assert trailers(frames, number)[b"grpc-status"] == b"0"
            assert b"".join(frame[2] for frame in frames if frame[:2] == ("data", number)) == say(value)


async def test_an_answer_that_waits_goes_with_its_stream_and_leaves_its_place(autojump_clock: MockClock) -> None:
    async with connected(Limits(max_streams=1), quick={PATH: Desk().echo}) as wire:
        await wire.say(SettingsFrame(0, settings={4: 0}), wire.request(1), data(1, HELLO, "END_STREAM"))
        await wire.say(wire.request(3), data(3, HELLO, "END_STREAM"))
        assert ("reset", 3, 7) in await wire.hears()
        await wire.say(reset(1))
        await wire.say(wire.request(5), data(5, HELLO, "END_STREAM"), window(5, 1000))
        assert trailers(await wire.hears(), 5)[b"grpc-status"] == b"0"


async def test_a_drain_waits_for_an_answer_that_waits(autojump_clock: MockClock) -> None:
    draining = trio.Event()
    async with connected(quick={PATH: Desk().echo}, draining=draining) as wire:
        await wire.say(SettingsFrame(0, settings={4: 0}), wire.request(1), data(1, HELLO, "END_STREAM"))
        draining.set()
        await trio.sleep(5)
        assert wire.ended == []
        await wire.say(window(1, 1000))
        assert trailers(await wire.hears())[b"grpc-status"] == b"0"
        await wire.stream.aclose()
        await trio.sleep(2)
        assert wire.ended == [None]


async def test_a_drain_waits_for_it(autojump_clock: MockClock) -> None:
    desk, calls, draining = Desk(), Calls(), trio.Event()
    async with connected(quick={PATH: desk.echo}, calls=calls, draining=draining) as wire:
        await wire.say(wire.request(1), data(1, say(b"later"), "END_STREAM"))
        draining.set()
        await trio.sleep(5)
        with trio.move_on_after(1) as patience:
            await calls.finished()
        assert patience.cancelled_caught and wire.ended == []
        desk.kept[0](BytesValue(value=b"done"))
        await calls.finished()
        assert trailers(await wire.hears())[b"grpc-status"] == b"0"
        await wire.stream.aclose()
        await trio.sleep(2)
        assert wire.ended == [None]


async def test_after_the_end_it_is_refused_like_any_call(autojump_clock: MockClock) -> None:
    desk, calls = Desk(), Calls()
    calls.end("The gateway is shutting down.")
    async with connected(quick={PATH: desk.echo}, calls=calls) as wire:
        await wire.say(wire.request(1), data(1, HELLO, "END_STREAM"))
        assert trailers(await wire.hears())[b"grpc-status"] == b"14"
    assert desk.asked == []
