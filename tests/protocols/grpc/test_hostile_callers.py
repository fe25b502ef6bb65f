"""Callers that want our memory: they send what nobody reads, half a message, or one byte at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Cardinality, Handler
from hyperframe.frame import SettingsFrame
from trio.testing import MockClock

from protocols.grpc.calls import Calls
from protocols.grpc.events import CallEnded
from protocols.grpc.framing import pack
from protocols.grpc.health import Health
from protocols.grpc.server import GrpcLimits
from protocols.http2.held import Held
from protocols.http2.limits import Limits
from tests.protocols.grpc.wire import Wire, connected, trailers
from tests.protocols.http2.peer import data, reset, window

WATCH = (b":path", b"/grpc.health.v1.Health/Watch")
CHAT, WAIT, JOIN = ((b":path", b"/test.Echo/%s" % name) for name in (b"Chat", b"Wait", b"Join"))
MIB = 2**20


def sharing(most_bytes: int) -> Calls:
    calls = Calls()
    calls.held = Held(most_bytes)
    return calls


async def status_of(wire: Wire, stream_id: int) -> bytes | None:
    return trailers(await wire.hears(), stream_id).get(b"grpc-status")


async def test_a_request_that_never_ends_is_ended(autojump_clock: MockClock) -> None:
    calls = Calls()
    async with connected(calls=calls, grpc=GrpcLimits(request_seconds=30)) as wire:
        await wire.say(wire.request(1), data(1, pack(bytes(1000))[:500]))
        await wire.say(wire.request(3))
        await trio.sleep(29)
        assert (await wire.hears(), calls.held.bytes) == ([], 500)
        await trio.sleep(2)
        frames = await wire.hears()
        for stream_id in (1, 3):
            told = trailers(frames, stream_id)
            assert (told[b"grpc-status"], told[b"grpc-message"]) == (b"4", b"The request did not arrive in time.")
            assert ("reset", stream_id, 0) in frames
        assert calls.held.bytes == 0


async def test_a_handler_may_take_its_time_once_the_request_is_there(autojump_clock: MockClock) -> None:
    async with connected(grpc=GrpcLimits(request_seconds=5), services=(Health(),)) as wire:
        await wire.say(wire.request(1, WATCH), data(1, pack(b""), "END_STREAM"))
        await wire.say(wire.request(3, WATCH), data(3, pack(b"")))
        await wire.say(wire.request(5, CHAT))
        await trio.sleep(50)
        assert (wire.events, wire.ended) == ([], [])


async def test_what_follows_a_single_request_is_not_kept(autojump_clock: MockClock) -> None:
    calls = Calls()
    async with connected(calls=calls, services=(Health(),)) as wire:
        await wire.say(wire.request(1, WATCH), data(1, pack(b"")))
        for _ in range(20):
            await wire.say(data(1, bytes(256 * 1024)))
            await wire.hears()
            assert calls.held.bytes == 0
        assert wire.ended == []


async def test_halves_of_large_messages_are_bounded_over_all_calls(autojump_clock: MockClock) -> None:
    calls = sharing(3 * MIB)
    half = pack(bytes(2 * MIB))[:MIB]
    pieces = [half[at : at + MIB // 4] for at in range(0, MIB, MIB // 4)]
    async with connected(calls=calls) as wire, connected(calls=calls) as other:
        for caller, stream_id in ((wire, 1), (wire, 3), (other, 1)):
            await caller.say(caller.request(stream_id, JOIN), *(data(stream_id, piece) for piece in pieces))
        assert calls.held.bytes == 3 * MIB
        await other.say(other.request(3, JOIN), data(3, pack(bytes(1000))[:900]))
        assert trailers(await other.hears(), 3) == {} and other.events == []
        assert calls.held.bytes <= 3 * MIB
        await wire.say(reset(1), reset(3))
        assert calls.held.bytes == MIB
        await other.say(other.request(5, JOIN), data(5, pack(b""), "END_STREAM"))
        assert await status_of(other, 5) == b"0"


async def test_bodies_nobody_reads_are_bounded_over_all_connections(autojump_clock: MockClock) -> None:
    calls = sharing(MIB)
    async with connected(calls=calls) as wire, connected(calls=calls) as other:
        for caller in (wire, other):
            await caller.say(caller.request(1, WAIT), *[data(1, bytes(MIB // 4))] * 3)
        # The other connection's call had a part of it, too, which is free again.
        assert calls.held.bytes == 3 * MIB // 4
        assert [frame for frame in await other.hears() if frame[0] == "reset"] == [("reset", 1, 11)]
        assert other.events == [CallEnded("/test.Echo/Wait", None, 0.0)]
        assert (wire.echo.running, wire.events) == (1, [])


async def test_a_connection_has_its_part_of_the_memory_and_no_more(autojump_clock: MockClock) -> None:
    calls = sharing(4 * MIB)
    async with connected(Limits(held_bytes=MIB), calls=calls) as wire:
        for stream_id in (1, 3):
            await wire.say(wire.request(stream_id, WAIT), *[data(stream_id, bytes(MIB // 4))] * 3)
        assert calls.held.bytes == 3 * MIB // 4
        assert [frame for frame in await wire.hears() if frame[0] == "reset"] == [("reset", 3, 11)]


async def test_who_fills_the_memory_of_all_leaves_the_others_their_small_calls(autojump_clock: MockClock) -> None:
    calls = sharing(MIB)
    async with connected(calls=calls) as wire, connected(calls=calls) as other:
        await other.say(other.request(1, JOIN), *[data(1, pack(bytes(2 * MIB))[: MIB // 4])] * 4)
        assert calls.held.bytes == MIB
        for stream_id, size, status in ((1, 60_000, b"0"), (3, 70_000, None), (5, 60_000, b"0")):
            body = pack(BytesValue(value=bytes(size)).SerializeToString())
            await wire.say(window(0, size), wire.request(stream_id), data(stream_id, body, "END_STREAM"))
            assert await status_of(wire, stream_id) == status
        assert calls.held.bytes == MIB


async def test_what_is_left_of_a_piece_counts_while_its_messages_are_handled(autojump_clock: MockClock) -> None:
    calls = Calls()
    async with connected(calls=calls) as wire:
        message = pack(BytesValue(value=bytes(40_000)).SerializeToString())
        await wire.say(SettingsFrame(0, settings={4: 0}), wire.request(1, CHAT), data(1, message * 6))
        # Two answers wait for a window, and the handler with the third.
        assert 3 * len(message) <= calls.held.bytes <= 6 * len(message)
        await wire.say(window(0, 2**20), window(1, 2**20))
        assert calls.held.bytes == 0


class Deaf:
    """Reads nothing, as reflection does while its answers are not read."""

    async def Talk(self, stream: Any) -> None:
        await trio.sleep_forever()

    def __mapping__(self) -> Mapping[str, Handler]:
        return {"/grpc.test.Deaf/Talk": Handler(self.Talk, Cardinality.STREAM_STREAM, BytesValue, BytesValue)}


@pytest.mark.parametrize("path", [b"/grpc.health.v1.Health/Check", b"/grpc.test.Deaf/Talk"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_anybody_may_ask_holds_little_of_a_connection(
    autojump_clock: MockClock, path: bytes, at_once: bool
) -> None:
    calls = Calls()
    async with connected(calls=calls, services=(Health(), Deaf())) as wire:
        for stream_id in range(1, 80, 2):
            head, body = wire.request(stream_id, (b":path", path)), data(stream_id, pack(bytes(65_000))[:-1])
            for frames in [(head, body)] if at_once else [(head,), (body,)]:
                await wire.say(*frames)
        assert MIB - 65_004 < calls.held.bytes <= MIB
        await wire.say(wire.request(99, JOIN), data(99, pack(b""), "END_STREAM"))
        assert await status_of(wire, 99) == b"0"


@pytest.mark.parametrize(("size", "status"), [(1000, b"0"), (65_000, b"5"), (66_000, b"8")])
async def test_what_anybody_may_ask_is_asked_in_few_words(autojump_clock: MockClock, size: int, status: bytes) -> None:
    async with connected(services=(Health(),)) as wire:
        check = (b":path", b"/grpc.health.v1.Health/Check")
        name = b"" if status == b"0" else b"\x0a" + _varint(size) + b"n" * size
        await wire.say(wire.request(1, check), data(1, pack(name), "END_STREAM"))
        assert await status_of(wire, 1) == status


def _varint(number: int) -> bytes:
    written = b""
    while number >= 0x80:
        written += bytes([number & 0x7F | 0x80])
        number >>= 7
    return written + bytes([number])
