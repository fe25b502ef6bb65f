"""Peers that want our time or our memory, over the pure core: either they are cut off, or it costs them as much."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Event, Opened, WasReset
from protocols.http2.frames import ErrorCode
from protocols.http2.limits import Limits
from protocols.http2.peer_settings import PeerSettings
from protocols.http2.receiving import REMEMBERED_RESETS
from protocols.http2.sending import Sending
from protocols.http2.state import StreamState
from tests.protocols.http2.peer import REQUEST, Peer, continuation, data, ping, raw, reset, window

CALM = ErrorCode.ENHANCE_YOUR_CALM
LIMITS = Limits(
    max_streams=50, resets_burst=100, resets_per_second=1.0, idle_frames_burst=100, idle_frames_per_second=1.0
)
MANY = 1000
STATUS = [(b":status", b"200")]


def cut_off(peer: Peer, wires: Iterable[bytes], react: Callable[[Event], None] = lambda event: None) -> int:
    """How many of these it took until the connection was ended for it."""
    for count, wire in enumerate(wires):
        try:
            for event in peer.say(wire):
                react(event)
        except PeerBrokeRules as error:
            assert error.code == CALM
            return count
        peer.machine.take()
    raise AssertionError("nothing ended the connection")


def let_go(peer: Peer) -> Callable[[Event], None]:
    """A handler that ends as soon as its stream is reset."""

    def react(event: Event) -> None:
        if isinstance(event, WasReset):
            peer.machine.release(event.stream_id, 0)

    return react


def requests(peer: Peer, *more: Callable[[int], bytes]) -> Iterable[bytes]:
    for stream_id in range(1, 2 * MANY, 2):
        head = peer.headers(stream_id, None, "END_STREAM").serialize()
        yield head + b"".join(frame(stream_id) for frame in more)


# CVE-2023-44487 and its children: each stream is over at once, its work is not.
RESETS = {
    "the peer resets": lambda number: reset(number).serialize(),
    "an impossible window": lambda number: raw(8, 0, number, bytes(4)),
    "too wide a window": lambda number: window(number, 2**31 - 1).serialize(),
    "a body after the end": lambda number: data(number, b"x").serialize(),
    "malformed trailers": lambda number: raw(1, 5, number, b"\x82"),
}


@pytest.mark.parametrize("how", RESETS.values(), ids=RESETS)
@pytest.mark.parametrize("hangs", [False, True])
def test_whoever_makes_us_reset_streams_over_and_over_is_cut_off(how: Callable[[int], bytes], hangs: bool) -> None:
    peer = Peer(LIMITS)
    react = (lambda event: None) if hangs else let_go(peer)
    assert cut_off(peer, requests(peer, how), react) <= 200
    assert peer.machine.open_streams <= 50


def test_whoever_opens_streams_above_the_limit_over_and_over_is_cut_off() -> None:
    peer = Peer(LIMITS)
    assert cut_off(peer, requests(peer)) <= 200


def malformed(peer: Peer) -> Iterable[bytes]:
    return (peer.headers(number, REQUEST[1:]).serialize() for number in range(1, 2 * MANY, 2))


def too_large(peer: Peer) -> Iterable[bytes]:
    block = Encoder().encode([*REQUEST, (b"x", b"y" * 17_000)], huffman=False)
    return (raw(1, 4, number, block) for number in range(1, 2 * MANY, 2))


@pytest.mark.parametrize("requests", [malformed, too_large])
def test_requests_that_are_refused_over_and_over_end_the_connection(
    requests: Callable[[Peer], Iterable[bytes]],
) -> None:
    peer = Peer(LIMITS)
    assert cut_off(peer, requests(peer)) <= 200


FLOODS = {
    "ping": ping().serialize(),
    "answers to no ping": ping(b"12345678", "ACK").serialize(),
    "settings": SettingsFrame(0, settings={4: 70_000}).serialize(),
    "answers to no settings": SettingsFrame(0, flags=["ACK"]).serialize(),
    "goaway": raw(7, 0, 0, bytes(8)),
    "priority": raw(2, 0, 9, bytes(5)),
    "unknown": raw(0x42, 0, 0, b"x" * 100),
    "padding": raw(0, 8, 1, b"\xff" + bytes(255)),
    "windows of an ended stream": window(5, 1).serialize(),
    "resets of an ended stream": reset(5).serialize(),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
def test_frames_that_carry_no_work_are_counted(frame: bytes) -> None:
    peer = Peer(LIMITS)
    peer.say(peer.headers(1), peer.headers(5, None, "END_STREAM"))
    peer.machine.send_headers(5, STATUS, end=True)
    peer.machine.release(5, 0)
    assert cut_off(peer, [frame] * MANY) <= 110


def test_continuations_of_nothing_are_counted() -> None:
    peer = Peer(LIMITS)
    peer.say(HeadersFrame(1, data=b""))
    assert cut_off(peer, [continuation(1, b"").serialize()] * MANY) <= 110


def test_a_small_block_that_unpacks_to_a_large_list_is_not_unpacked() -> None:
    peer = Peer()
    entry = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000
    peer.say(HeadersFrame(1, data=Encoder().encode(REQUEST) + entry, flags=["END_HEADERS"]))
    bomb = HeadersFrame(3, data=b"\xbe" * 16_000, flags=["END_HEADERS"]).serialize()
    tracemalloc.start()
    try:
        assert cut_off(peer, [bomb]) == 0
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_header_blocks_that_are_remembered_cost_little() -> None:
    peer = Peer()
    tracemalloc.start()
    try:
        for number in range(300):
            block = Encoder().encode(REQUEST[:4]) + b"\x90" * (number % 240) + bytes([0x81 + number % 60])
            peer.say(HeadersFrame(2 * number + 1, data=block, flags=["END_HEADERS"]))
            peer.machine.release(2 * number + 1, 0)
            peer.machine.take()
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_streams_that_are_reset_while_they_wait_for_a_window_leave_nothing_behind() -> None:
    peer = Peer(Limits(resets_burst=MANY), settings={4: 0})
    for stream_id in range(1, 2 * MANY, 2):
        assert peer.say(peer.headers(stream_id, None, "END_STREAM"))[0] == Opened(stream_id, REQUEST)
        peer.machine.send_headers(stream_id, STATUS)
        peer.machine.send_body(stream_id, b"x" * 1000)
        peer.machine.take()
        peer.say(reset(stream_id))
        peer.machine.release(stream_id, 0)
    sending, receiving = peer.machine._sending, peer.machine._receiving
    assert (len(sending._turns), len(sending._blocked), sending.waiting_bytes) == (0, 0, 0)
    assert len(receiving._reset_ids) <= REMEMBERED_RESETS


class Walked(dict[int, StreamState]):
    walks = 0

    def values(self) -> Any:
        self.walks += 1
        return super().values()


def test_a_frame_of_settings_walks_through_the_streams_once_and_only_for_another_window() -> None:
    settings, streams = PeerSettings(Sending(1000), client=False), Walked({1: StreamState(1, 65_535, 0)})
    for _ in range(2):
        settings.take(b"".join(b"\0\x04" + size.to_bytes(4) for size in range(64)), streams)
        assert (streams.walks, streams[1].send_window) == (1, 63)


def test_answers_that_are_not_read_keep_their_streams_and_end_in_order_when_they_are() -> None:
    peer = Peer(Limits(max_streams=100), settings={4: 2**31 - 1})
    peer.say(window(0, 2**31 - 1 - 65_535))
    answered = [number for number in range(1, 2 * MANY, 2) if answers(peer, number)]
    assert len(peer.machine._sending.wire) < 2**19
    assert peer.machine.open_streams == 100
    frames = peer.hears()
    ended = [frame[1] for frame in frames if frame[0] == "headers" and frame[-1]]
    assert ended[: len(answered)] == answered and len(ended) == len(answered) + 100
    assert sum(len(frame[2]) for frame in frames if frame[0] == "data") == 10_000 * len(ended)


def answers(peer: Peer, stream_id: int) -> bool:
    """Ask and answer; True when all of it is framed and the stream is released."""
    peer.say(peer.headers(stream_id, None, "END_STREAM"))
    peer.machine.send_headers(stream_id, STATUS)
    peer.machine.send_body(stream_id, bytes(10_000))
    peer.machine.end(stream_id, [(b"grpc-status", b"0")])
    if not peer.machine.ended_by_us(stream_id) or stream_id not in peer.machine._open:
        return False
    peer.machine.release(stream_id, 0)
    return True


def test_a_body_that_nobody_wants_any_more_may_come_to_its_end() -> None:
    # An honest client that uploads learns late that its call is over: no flood, and no window is lost.
    peer = Peer(LIMITS)
    peer.say(peer.headers(1))
    peer.machine.reset(1, 0)
    peer.machine.release(1, 0)
    for _ in range(MANY):
        assert peer.say(data(1, bytes(16_000))) == []
    given_back = sum(frame[2] for frame in peer.hears() if frame[:2] == ("window", 0))
    assert given_back > MANY * 16_000 - 8 * 2**20 // 4 - 1
