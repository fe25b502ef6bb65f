"""RFC 9113 on windows, messages and floods, over the pure core: these bytes in, these events and frames out."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Answered, Chunk, Ended, Headers, Opened, Trailed, WasReset
from protocols.http2.frames import ErrorCode
from protocols.http2.limits import Limits
from tests.protocols.http2.peer import (
    REQUEST,
    Peer,
    broken,
    data,
    ping,
    priority,
    raw,
    reset,
    window,
)

PROTOCOL_ERROR = ErrorCode.PROTOCOL_ERROR
FLOW_CONTROL_ERROR = ErrorCode.FLOW_CONTROL_ERROR
CALM = ErrorCode.ENHANCE_YOUR_CALM


# -- section 6.9: flow control


def test_windows_reopen_when_bytes_are_consumed_not_when_they_arrive() -> None:
    peer = Peer(Limits(stream_window_bytes=1000, connection_window_bytes=65536))
    peer.say(peer.headers(1), data(1, bytes(900)))
    assert peer.hears() == []
    peer.machine.consumed(1, 900)
    assert peer.hears() == [("window", 1, 900)]


def test_unread_bytes_are_given_back_when_their_stream_ends() -> None:
    peer = Peer(Limits(stream_window_bytes=40_000, connection_window_bytes=65536))
    for stream_id in (1, 3):
        peer.say(peer.headers(stream_id), data(stream_id, bytes(30_000), "END_STREAM"))
        peer.machine.reset(stream_id, 0)
        peer.machine.release(stream_id, 30_000)
    assert sum(frame[2] for frame in peer.hears() if frame[:2] == ("window", 0)) == 60_000


def test_padding_counts_against_the_window_and_is_given_back() -> None:
    peer = Peer()
    padded = data(1, b"body", "PADDED")
    padded.pad_length = 10
    peer.say(peer.headers(1))
    assert peer.say(padded) == [Chunk(1, b"body", 15)]


def test_more_than_the_window_is_a_flow_control_error() -> None:
    peer = Peer(Limits(stream_window_bytes=1000))
    assert broken(peer, peer.headers(1), data(1, bytes(1001))) == FLOW_CONTROL_ERROR


def test_a_window_above_the_maximum_is_a_flow_control_error() -> None:
    assert broken(Peer(), window(0, 2**31 - 1)) == FLOW_CONTROL_ERROR


def test_an_empty_window_increment_is_a_protocol_error() -> None:
    assert broken(Peer(), raw(8, 0, 0, bytes(4))) == PROTOCOL_ERROR


@pytest.mark.parametrize(("increment", "code"), [(0, PROTOCOL_ERROR), (2**31 - 1, FLOW_CONTROL_ERROR)])
def test_an_impossible_window_of_a_stream_is_an_error_of_the_stream(increment: int, code: int) -> None:
    peer = Peer()
    peer.say(peer.headers(1), peer.headers(3))
    assert peer.say(raw(8, 0, 1, increment.to_bytes(4))) == [WasReset(1, code)]
    assert peer.hears() == [("reset", 1, code)]


def test_settings_that_widen_a_stream_too_far_are_a_flow_control_error() -> None:
    peer = Peer()
    peer.say(peer.headers(1), window(1, 2**31 - 1 - 65535))
    assert broken(peer, SettingsFrame(0, settings={4: 65536})) == FLOW_CONTROL_ERROR


def test_settings_may_make_a_window_negative_and_it_is_made_up_for() -> None:
    peer = Peer(settings={4: 10})
    peer.say(peer.headers(1))
    peer.machine.send_headers(1, [(b":status", b"200")])
    peer.machine.send_body(1, b"0123456789abcd")
    assert peer.hears()[-1] == ("data", 1, b"0123456789", False)
    peer.say(SettingsFrame(0, settings={4: 2}), window(1, 8))
    assert peer.hears() == [("settings", {}, True)]
    peer.say(window(1, 1))
    assert peer.hears() == [("data", 1, b"a", False)]


def test_a_stream_that_waits_for_the_connections_window_keeps_its_turn() -> None:
    peer = Peer(settings={4: 2**20})
    for stream_id in (1, 3):
        peer.say(peer.headers(stream_id))
        peer.machine.send_headers(stream_id, [(b":status", b"200")])
        peer.machine.send_body(stream_id, bytes(65_535))
    assert sum(len(frame[2]) for frame in peer.hears() if frame[0] == "data") == 65_535
    peer.say(window(0, 5))
    first = [frame for frame in peer.hears() if frame[0] == "data"]
    peer.say(window(0, 5))
    second = [frame for frame in peer.hears() if frame[0] == "data"]
    assert [len(frame[2]) for frame in (*first, *second)] == [5, 5]
    assert first[0][1] != second[0][1]


def test_bodies_wait_for_both_windows_and_trailers_come_last() -> None:
    peer = Peer(settings={4: 5})
    peer.say(peer.headers(1, None, "END_STREAM"))
    peer.machine.send_headers(1, [(b":status", b"200")])
    peer.machine.send_body(1, b"0123456789")
    peer.machine.end(1, [(b"grpc-status", b"0")])
    assert peer.hears()[-1] == ("data", 1, b"01234", False)
    peer.say(window(1, 100))
    assert peer.hears() == [("data", 1, b"56789", False), ("headers", 1, [(b"grpc-status", b"0")], True)]


def test_streams_take_turns_when_both_have_much_to_say() -> None:
    peer = Peer(settings={4: 2**20})
    peer.say(window(0, 2**20), peer.headers(1), peer.headers(3))
    for stream_id in (1, 3):
        peer.machine.send_headers(stream_id, [(b":status", b"200")])
        peer.machine.send_body(stream_id, bytes(50_000))
    order = [frame[1] for frame in peer.hears() if frame[0] == "data"]
    assert order == [1, 3, 1, 3, 1, 3, 1, 3]


# -- section 8: requests


@pytest.mark.parametrize(
    "fields",
    [
        REQUEST[1:],
        [*REQUEST, (b":path", b"/again")],
        [*REQUEST, (b":unknown", b"x")],
        [*REQUEST[1:], REQUEST[0]],
        [*REQUEST, (b"UPPER", b"x")],
        [*REQUEST, (b"connection", b"close")],
        [*REQUEST, (b"transfer-encoding", b"chunked")],
        [*REQUEST[:-1], (b"te", b"gzip")],
        [*REQUEST, (b"x", b"a\r\nb")],
        [*REQUEST, (b"x y", b"a")],
        [*REQUEST, (b"x", b" padded")],
        [*REQUEST, (b"x", b"padded\t")],
        [*REQUEST, (b"x", b"a\0b")],
        [*REQUEST, (b"", b"nameless")],
        [*REQUEST, (b"host", b"elsewhere")],
        [*REQUEST, (b"content-length", b"3"), (b"content-length", b"4")],
        [*REQUEST, (b"content-length", b"-3")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b""), (b":authority", b"here")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/hostless")],
        [(b":method", b"CONNECT"), (b":path", b"/"), (b":authority", b"here")],
        [*REQUEST, (b":status", b"200")],
    ],
    ids=lambda fields: repr(fields[-1]),
)
def test_a_malformed_request_is_reset_and_the_others_live(fields: Headers) -> None:
    peer = Peer()
    peer.say(peer.headers(1))
    assert peer.say(peer.headers(3, fields), data(3, b"its body")) == []
    assert peer.hears() == [("reset", 3, PROTOCOL_ERROR)]
    assert peer.say(data(1, b"x"), peer.headers(5)) == [Chunk(1, b"x", 1), Opened(5, REQUEST)]


def test_repeated_bytes_are_judged_by_what_they_are_for() -> None:
    peer = Peer()
    fields = [(b"late", b"1")]
    for stream_id in (1, 3, 5, 7):
        assert peer.say(peer.headers(stream_id)) == [Opened(stream_id, REQUEST)]
    for stream_id in (1, 3, 5):
        assert peer.say(peer.headers(stream_id, fields, "END_STREAM")) == [Trailed(stream_id, fields), Ended(stream_id)]
    # As trailers these bytes were fine three times; as a request they are not, nor is a request as trailers.
    assert peer.say(peer.headers(9, fields)) == []
    assert peer.say(peer.headers(7, REQUEST, "END_STREAM")) == [WasReset(7, PROTOCOL_ERROR)]


def test_bytes_that_mean_something_new_are_judged_anew() -> None:
    peer = Peer()
    for stream_id in (1, 3, 5):
        assert peer.say(peer.headers(stream_id)) == [Opened(stream_id, REQUEST)]
    # Each new field moves the older ones one index on, so the bytes of a valid request turn into others.
    wire = peer.headers(7).data
    for number, stream_id in enumerate(range(7, 11, 2)):
        peer.say(peer.headers(stream_id, [*REQUEST, (b"x", b"%d" % number)]))
    assert peer.say(HeadersFrame(11, data=wire, flags=["END_HEADERS"])) == []
    assert peer.hears()[-1] == ("reset", 11, PROTOCOL_ERROR)


@pytest.mark.parametrize(("said", "sent", "end"), [(b"3", b"four", ""), (b"5", b"four", "END_STREAM")])
def test_a_body_must_match_its_content_length(said: bytes, sent: bytes, end: str) -> None:
    peer = Peer()
    head = peer.headers(1, [*REQUEST, (b"content-length", said)])
    body = data(1, sent, *([end] if end else []))
    assert peer.say(head, body)[-1] == WasReset(1, PROTOCOL_ERROR)
    assert peer.hears() == [("reset", 1, PROTOCOL_ERROR)]


def test_a_body_that_matches_its_content_length_is_taken() -> None:
    peer = Peer()
    peer.say(peer.headers(1, [*REQUEST, (b"content-length", b"4")]), data(1, b"fo"))
    assert peer.say(data(1, b"ur", "END_STREAM")) == [Chunk(1, b"ur", 2), Ended(1)]
    assert peer.say(peer.headers(3, [*REQUEST, (b"content-length", b"1")], "END_STREAM")) == []
    assert peer.hears() == [("reset", 3, PROTOCOL_ERROR)]


def test_trailers_follow_a_body_and_must_end_the_stream() -> None:
    peer = Peer()
    peer.say(peer.headers(1), data(1, b"x"))
    assert peer.say(peer.headers(1, [(b"late", b"1")], "END_STREAM")) == [Trailed(1, [(b"late", b"1")]), Ended(1)]
    peer.say(peer.headers(3))
    assert peer.say(peer.headers(3, [(b"late", b"1")])) == [WasReset(3, PROTOCOL_ERROR)]


def test_trailers_hold_no_pseudo_fields() -> None:
    peer = Peer()
    peer.say(peer.headers(1))
    assert peer.say(peer.headers(1, [(b":path", b"/")], "END_STREAM")) == [WasReset(1, PROTOCOL_ERROR)]


# -- section 8.1: responses


def test_informational_responses_are_passed_over() -> None:
    peer = Peer(client=True)
    stream_id = peer.machine.open(REQUEST)
    final = [(b":status", b"200")]
    assert peer.say(peer.headers(stream_id, [(b":status", b"103")]), peer.headers(stream_id, final)) == [
        Answered(stream_id, final)
    ]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b":status", b"20")],
        [(b":status", b"abc")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b"x", b"1"), (b":status", b"200")],
        [(b":status", b"200"), (b"connection", b"close")],
    ],
    ids=repr,
)
def test_a_malformed_response_fails_its_stream_alone(fields: Headers) -> None:
    peer = Peer(client=True)
    first, second = peer.machine.open(REQUEST), peer.machine.open(REQUEST)
    assert peer.say(peer.headers(first, fields)) == [WasReset(first, PROTOCOL_ERROR)]
    assert peer.say(peer.headers(second, [(b":status", b"200")])) == [Answered(second, [(b":status", b"200")])]
    assert ("reset", first, PROTOCOL_ERROR) in peer.hears()


def test_a_body_before_its_response_is_malformed() -> None:
    peer = Peer(client=True)
    stream_id = peer.machine.open(REQUEST)
    assert peer.say(data(stream_id, b"x")) == [WasReset(stream_id, PROTOCOL_ERROR)]


def test_a_server_opens_no_streams() -> None:
    for stream_id in (2, 3):
        peer = Peer(client=True)
        peer.machine.open(REQUEST)
        assert broken(peer, peer.headers(stream_id, [(b":status", b"200")])) == PROTOCOL_ERROR


def test_a_client_takes_no_pushes() -> None:
    peer = Peer(client=True)
    stream_id = peer.machine.open(REQUEST)
    assert broken(peer, raw(5, 4, stream_id, (2).to_bytes(4) + Encoder().encode(REQUEST))) == PROTOCOL_ERROR


# -- section 10.5: floods


def test_rapid_resets_end_the_connection_once() -> None:
    peer = Peer(Limits(resets_burst=10, resets_per_second=1.0))
    for stream_id in range(1, 21, 2):
        peer.say(peer.headers(stream_id), reset(stream_id))
        peer.machine.release(stream_id, 0)
    assert broken(peer, peer.headers(21), reset(21)) == CALM
    assert peer.hears() == []


def test_the_same_resets_over_a_longer_time_are_fine() -> None:
    peer = Peer(Limits(resets_burst=10, resets_per_second=1.0))
    for stream_id in range(1, 101, 2):
        peer.now += 1.0
        peer.say(peer.headers(stream_id), reset(stream_id))
        peer.machine.release(stream_id, 0)


@pytest.mark.parametrize(
    "frame",
    [ping(), SettingsFrame(0), priority(99, 0), raw(0x42, 0, 0, b""), data(1, b"")],
    ids=["ping", "settings", "priority", "unknown", "empty data"],
)
def test_frames_without_work_are_counted(frame: object) -> None:
    peer = Peer(Limits(idle_frames_burst=50, idle_frames_per_second=1.0))
    peer.say(peer.headers(1))
    assert broken(peer, *[frame] * 60) == CALM


def test_a_ping_for_every_piece_of_work_is_welcome() -> None:
    peer = Peer(Limits(idle_frames_burst=10, idle_frames_per_second=0.0))
    peer.say(peer.headers(1))
    for _ in range(500):
        peer.say(data(1, b"work"), ping())


def test_a_ping_for_every_piece_that_the_peer_gets_is_welcome_and_more_are_not() -> None:
    peer = Peer(Limits(idle_frames_burst=10, idle_frames_per_second=0.0))
    peer.say(peer.headers(1))
    peer.machine.send_headers(1, [(b":status", b"200")])
    for _ in range(500):
        peer.machine.send_body(1, b"an event")
        assert ("data", 1, b"an event", False) in peer.hears()
        peer.say(window(0, 8), window(1, 8), ping())
    peer.say(*[ping()] * 10)
    assert broken(peer, ping()) == CALM


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_more_than_break_the_rules(wire: bytes) -> None:
    peer = Peer()
    peer.say(peer.headers(1))
    try:
        peer.say(wire)
    except PeerBrokeRules:
        assert peer.hears()[-1][0] == "goaway"


FRAMES = st.tuples(st.integers(0, 10), st.integers(0, 255), st.sampled_from([0, 1, 3, 5]), st.binary(max_size=20))


@given(st.lists(FRAMES, max_size=6))
def test_no_frames_whatever_do_more_than_break_the_rules(frames: list[tuple[int, int, int, bytes]]) -> None:
    peer = Peer()
    peer.say(peer.headers(1))
    try:
        peer.say(*(raw(*parts) for parts in frames))
    except PeerBrokeRules:
        assert peer.hears()[-1][0] == "goaway"
