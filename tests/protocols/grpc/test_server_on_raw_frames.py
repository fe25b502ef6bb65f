"""What no official client would send: our server on a memory stream, spoken to in frames, on a mocked clock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import trio
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Cardinality, Handler, Status
from hyperframe.frame import Frame
from trio.testing import (
    MockClock,
    lockstep_stream_pair,
    wait_all_tasks_blocked,
)

from protocols.grpc.events import CallEnded, CallRefused, HandlerCrashed
from protocols.grpc.framing import pack
from protocols.grpc.server import methods_of, serve_h2
from protocols.grpc.server_call import READS_PER_CHECKPOINT
from protocols.http2.frames import PREFACE
from protocols.http2.limits import Limits
from tests.protocols.grpc.echo import Echo
from tests.protocols.grpc.wire import SETTINGS, connected, trailers
from tests.protocols.http2.peer import data, ping, reset, window


async def test_headers_message_and_trailers_leave_in_one_piece(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1), data(1, pack(b""), "END_STREAM"))
        kinds = [(frame[0], frame[-1]) for frame in await wire.hears()]
        assert kinds == [("headers", False), ("data", False), ("headers", True)]


async def test_the_first_bytes_may_have_been_read_by_somebody_else(autojump_clock: MockClock) -> None:
    for already_read in (1, len(PREFACE), len(PREFACE) + 3, len(PREFACE + SETTINGS)):
        async with connected(already_read=already_read) as wire:
            await wire.say(wire.request(1), data(1, pack(b""), "END_STREAM"))
            assert trailers(await wire.hears())[b"grpc-status"] == b"0"


class Reader:
    """Reads a caller's messages beside a task that only counts its turns, and cancels itself at `leave_after`."""

    def __init__(self, leave_after: int = 0) -> None:
        self.read = self.turns = 0
        self._leave_after = leave_after

    async def Take(self, stream: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._count)
            async for _ in stream:
                self.read += 1
                if self.read == self._leave_after:
                    nursery.cancel_scope.cancel()
            nursery.cancel_scope.cancel()
        await stream.send_message(BytesValue())

    async def _count(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.turns += 1

    def __mapping__(self) -> Mapping[str, Handler]:
        return {"/test.Reader/Take": Handler(self.Take, Cardinality.STREAM_UNARY, BytesValue, BytesValue)}


async def test_messages_are_read_without_a_turn_for_each_and_others_have_theirs(autojump_clock: MockClock) -> None:
    reader = Reader()
    async with connected(services=(reader,)) as wire:
        request = wire.request(1, (b":path", b"/test.Reader/Take"))
        await wire.say(request, data(1, pack(b"") * 320, "END_STREAM"))
        assert trailers(await wire.hears())[b"grpc-status"] == b"0"
    assert reader.read == 320
    # A turn for each checkpoint, but the one in which it begins and, by the order of that turn, the last.
    assert 320 // READS_PER_CHECKPOINT - 2 <= reader.turns < 20


async def test_a_handler_that_is_cancelled_reads_nothing_more(autojump_clock: MockClock) -> None:
    reader = Reader(leave_after=5)
    async with connected(services=(reader,)) as wire:
        await wire.say(wire.request(1, (b":path", b"/test.Reader/Take")), data(1, pack(b"") * 320, "END_STREAM"))
        assert trailers(await wire.hears())[b"grpc-status"] == b"0"
    assert reader.read == 5


async def test_what_is_not_grpc_gets_https_answer(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1, (b"content-type", b"application/json"), end=True))
        await wire.say(wire.request(3, (b":method", b"GET"), end=True))
        frames = await wire.hears()
    assert (trailers(frames, 1)[b":status"], trailers(frames, 3)[b":status"]) == (b"415", b"405")


async def test_a_content_type_with_a_subtype_or_parameters_is_grpc(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        for number, kind in enumerate([b"application/grpc+proto", b"application/grpc; charset=utf-8"]):
            await wire.say(
                wire.request(2 * number + 1, (b"content-type", kind)), data(2 * number + 1, pack(b""), "END_STREAM")
            )
        frames = await wire.hears()
    assert trailers(frames, 1)[b"grpc-status"] == trailers(frames, 3)[b"grpc-status"] == b"0"


async def test_bad_requests_get_trailers_alone_with_a_content_type(autojump_clock: MockClock) -> None:
    bad = [
        ((b"x-bin", b"!!!"), b"3", b"x-bin"),
        ((b"grpc-timeout", b"soon"), b"3", b"grpc-timeout"),
        ((b"grpc-encoding", b"snappy"), b"12", b"snappy"),
        ((b":path", b"/nowhere"), b"12", b"/nowhere"),
    ]
    async with connected() as wire:
        for number, (change, status, named) in enumerate(bad):
            stream_id = 2 * number + 1
            await wire.say(wire.request(stream_id, change), data(stream_id, pack(b""), "END_STREAM"))
            frames = await wire.hears()
            told = trailers(frames, stream_id)
            assert len([frame for frame in frames if frame[0] == "headers"]) == 1
            assert (told[b":status"], told[b"content-type"]) == (b"200", b"application/grpc")
            assert told[b"grpc-status"] == status
            assert named in told[b"grpc-message"]


async def test_malformed_messages_are_internal_errors_and_the_connection_lives(autojump_clock: MockClock) -> None:
    bad = [b"\x07\0\0\0\0", b"\x01\0\0\0\x01x", pack(b"\xff\xff"), pack(b"cut")[:-1]]
    async with connected() as wire:
        for number, body in enumerate(bad):
            stream_id = 2 * number + 1
            await wire.say(wire.request(stream_id), data(stream_id, body, "END_STREAM"))
            assert trailers(await wire.hears(), stream_id)[b"grpc-status"] == b"13"
        await wire.say(wire.request(99), data(99, pack(b""), "END_STREAM"))
        assert trailers(await wire.hears(), 99)[b"grpc-status"] == b"0"


async def test_an_oversized_message_is_refused_by_its_prefix(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1), data(1, b"\0\xff\xff\xff\xff"))
        frames = await wire.hears()
        assert trailers(frames)[b"grpc-status"] == b"8"
        # The caller was still sending: it is told that nobody reads the rest.
        assert frames[-1] == ("reset", 1, 0)


async def test_a_deadline_is_told_in_trailers_and_a_reset_in_nothing(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        wait = (b":path", b"/test.Echo/Wait")
        await wire.say(wire.request(1, wait, (b"grpc-timeout", b"2S"), end=True))
        await wire.say(wire.request(3, wait, end=True))
        await wire.say(reset(3))
        await trio.sleep(1)
        assert (await wire.hears(), wire.echo.running) == ([], 1)
        await trio.sleep(2)
        frames = await wire.hears()
        assert trailers(frames)[b"grpc-status"] == b"4"
        assert [frame for frame in frames if frame[1] == 3] == []
        assert wire.echo.running == 0


async def test_a_peer_that_says_nothing_is_let_go(autojump_clock: MockClock) -> None:
    async with connected(greet=False) as wire:
        await trio.sleep(11)
        assert wire.ended == [None]


async def test_a_silent_peer_is_asked_and_then_given_up(autojump_clock: MockClock) -> None:
    async with connected(Limits(keepalive_seconds=30, keepalive_answer_seconds=5)) as wire:
        await wire.say(wire.request(1, (b":path", b"/test.Echo/Wait"), end=True))
        await trio.sleep(31)
        assert [frame[0] for frame in await wire.hears()] == ["ping"]
        assert wire.echo.running == 1
        await trio.sleep(5)
        assert (wire.ended, wire.echo.running) == ([None], 0)


async def test_a_peer_that_answers_is_kept(autojump_clock: MockClock) -> None:
    async with connected(Limits(keepalive_seconds=30, keepalive_answer_seconds=5)) as wire:
        for _ in range(5):
            await trio.sleep(32)
            asked = [frame for frame in await wire.hears() if frame[0] == "ping"]
            await wire.say(*(ping(frame[1], "ACK") for frame in asked))
        assert wire.ended == []


async def test_a_flood_ends_the_connection_with_its_reason(autojump_clock: MockClock) -> None:
    async with connected(Limits(idle_frames_burst=20)) as wire:
        await wire.say(*[ping()] * 30)
        assert (await wire.hears())[-1] == ("goaway", 0, 11)
        assert [ended.code for ended in wire.ended] == [11]


async def test_resets_before_a_handler_starts_do_not_pile_up_work(autojump_clock: MockClock) -> None:
    async with connected(Limits(max_streams=10)) as wire:
        frames: list[bytes | Frame] = []
        for stream_id in range(1, 201, 2):
            frames += [wire.request(stream_id, (b":path", b"/test.Echo/Wait"), end=True), reset(stream_id)]
        await wire.say(*frames)
        assert (wire.echo.running, wire.ended) == (0, [])


async def test_a_reader_that_opens_no_window_holds_only_its_own_call(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1, (b":path", b"/test.Echo/Split")))
        message = b"\x0a\xc0\x9a\x0c" + bytes(200_000)
        await wire.say(data(1, pack(message), "END_STREAM"))
        first = sum(len(frame[2]) for frame in await wire.hears() if frame[0] == "data")
        assert first == 65_535
        # The connection's window is used up; opened again, others are served while stream 1 still waits.
        await wire.say(window(0, 100_000), wire.request(3), data(3, pack(b""), "END_STREAM"))
        assert trailers(await wire.hears(), 3)[b"grpc-status"] == b"0"
        await wire.say(window(1, 70_000))
        assert sum(len(frame[2]) for frame in await wire.hears() if frame[0] == "data") == 70_000


async def test_a_transport_that_ends_cancels_the_handlers(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1, (b":path", b"/test.Echo/Wait"), end=True))
        assert wire.echo.running == 1
        await wire.stream.aclose()
        await wait_all_tasks_blocked()
        assert (wire.ended, wire.echo.running, wire.echo.cancelled) == ([None], 0, 1)


@pytest.mark.parametrize("method", ["/test.Echo/Chat", "/test.Echo/Both"])
@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_caller_that_leaves_is_no_bug_of_a_handler(autojump_clock: MockClock, method: str, how: str) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1, (b":path", method.encode())), data(1, pack(b"")))
        if how == "reset":
            await wire.say(reset(1))
        else:
            await wire.stream.aclose()
            await wait_all_tasks_blocked()
        assert wire.events == [CallEnded(method, None, 0.0)]


async def test_an_error_that_cannot_be_told_resets_its_call_alone(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1, (b":path", b"/test.Echo/Fail")), data(1, pack(b"\x0a\x03odd"), "END_STREAM"))
        assert (await wire.hears())[-1] == ("reset", 1, 2)
        ended, crashed = wire.events
        assert isinstance(ended, CallEnded)
        assert isinstance(crashed, HandlerCrashed)
        await wire.say(wire.request(3), data(3, pack(b""), "END_STREAM"))
        assert trailers(await wire.hears(), 3)[b"grpc-status"] == b"0"


async def test_a_peer_that_asks_and_never_reads_is_cut_off(autojump_clock: MockClock) -> None:
    ours, theirs = lockstep_stream_pair()
    limits = Limits(unread_control_bytes=10_000, idle_frames_burst=100_000)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_h2, ours, b"", methods_of([Echo()]), http2=limits))
            await theirs.send_all(PREFACE + SETTINGS)
            with pytest.raises(trio.BrokenResourceError):
                while True:
                    await theirs.send_all(ping().serialize() * 100)


async def test_a_caller_that_reads_nothing_does_not_keep_its_call_past_the_deadline(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        message = b"\x0a\xc0\x9a\x0c" + bytes(200_000)
        await wire.say(wire.request(1, (b":path", b"/test.Echo/Split"), (b"grpc-timeout", b"3S")))
        await wire.say(data(1, pack(message), "END_STREAM"))
        await wire.hears()
        await trio.sleep(6)
        assert (await wire.hears())[-1] == ("reset", 1, 8)


async def test_every_call_is_reported_with_its_outcome(autojump_clock: MockClock) -> None:
    async with connected() as wire:
        await wire.say(wire.request(1), data(1, pack(b""), "END_STREAM"))
        await wire.say(wire.request(3, (b":path", b"/test.Echo/Wait"), (b"grpc-timeout", b"2S"), end=True))
        await wire.say(wire.request(5, (b":path", b"/nowhere"), end=True))
        await wire.say(wire.request(7, (b"content-type", b"text/html"), end=True))
        await trio.sleep(3)
    ok, unknown, foreign, late = wire.events
    assert ok == CallEnded("/test.Echo/Unary", Status.OK, 0.0)
    assert unknown == CallRefused("/nowhere", "There is no method /nowhere.")
    assert foreign == CallRefused("/test.Echo/Unary", "HTTP 415")
    assert isinstance(late, CallEnded)
    assert (late.status, round(late.seconds)) == (Status.DEADLINE_EXCEEDED, 2)
