"""RFC 9113, section by section, over the pure core: these bytes in, these events and frames out."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Answered, Chunk, Ended, GoneAway, Headers, Opened, Ponged, Trailed, WasReset
from protocols.http2.frames import PREFACE, ErrorCode
from protocols.http2.limits import Limits
from protocols.http2.machine import Machine
from tests.protocols.http2.peer import (
    REQUEST,
    Peer,
    continuation,
    data,
    frames_of,
    goaway,
    ping,
    priority,
    raw,
    reset,
    window,
)

PROTOCOL_ERROR = ErrorCode.PROTOCOL_ERROR
FLOW_CONTROL_ERROR = ErrorCode.FLOW_CONTROL_ERROR
FRAME_SIZE_ERROR = ErrorCode.FRAME_SIZE_ERROR
COMPRESSION_ERROR = ErrorCode.COMPRESSION_ERROR
STREAM_CLOSED = ErrorCode.STREAM_CLOSED
CALM = ErrorCode.ENHANCE_YOUR_CALM


def broken(peer: Peer, *wire: object) -> int:
    """The code of the GOAWAY that these bytes earn."""
    with pytest.raises(PeerBrokeRules) as caught:
        peer.say(*wire)  # type: ignore[arg-type]
    last = peer.hears()[-1]
    assert (last[0], last[2]) == ("goaway", caught.value.code)
    return caught.value.code


# -- section 3.4: the preface


def test_a_server_speaks_first_with_its_settings_and_its_window() -> None:
    machine = Machine(client=False, limits=Limits(max_streams=7))
    first, second = frames_of(machine.take())
    assert (first.settings[3], first.settings[4]) == (7, 2 * 2**20)
    assert second.window_increment == 8 * 2**20 - 65535


def test_a_client_speaks_the_preface_and_refuses_push() -> None:
    wire = Machine(client=True, limits=Limits()).take()
    assert wire.startswith(PREFACE)
    assert frames_of(wire.removeprefix(PREFACE))[0].settings[2] == 0


def test_anything_but_the_preface_is_a_protocol_error() -> None:
    machine = Machine(client=False, limits=Limits())
    with pytest.raises(PeerBrokeRules):
        machine.receive(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", 0.0)


def test_the_preface_may_arrive_one_byte_at_a_time() -> None:
    machine = Machine(client=False, limits=Limits())
    wire = PREFACE + SettingsFrame(0).serialize() + Peer().headers(1, None, "END_STREAM").serialize()
    events = [event for byte in wire for event in machine.receive(bytes([byte]), 0.0)]
    assert events[-2:] == [Opened(1, REQUEST), Ended(1)]


# -- sections 4.1 and 4.2: frames


def test_an_unknown_frame_is_ignored() -> None:
    peer = Peer()
    assert peer.say(raw(0x42, 0, 0, b"whatever"), ping()) == []
    assert peer.hears() == [("ping", b"12345678", True)]


def test_a_frame_above_the_limit_is_refused_by_its_header_alone() -> None:
    assert broken(Peer(), (2**20).to_bytes(3) + b"\x00\x00" + (1).to_bytes(4)) == FRAME_SIZE_ERROR


def test_a_frame_of_the_largest_allowed_size_is_taken() -> None:
    peer = Peer()
    events = peer.say(peer.headers(1), data(1, bytes(256 * 1024)))
    assert isinstance(events[1], Chunk)
    assert len(events[1].body) == 256 * 1024


@pytest.mark.parametrize(
    ("kind", "stream_id", "body"), [(6, 0, b"short"), (8, 0, b"123"), (3, 1, b"12"), (4, 0, b"12345")]
)
def test_frames_of_a_wrong_size_end_the_connection(kind: int, stream_id: int, body: bytes) -> None:
    peer = Peer()
    peer.say(peer.headers(1))
    assert broken(peer, raw(kind, 0, stream_id, body)) in (FRAME_SIZE_ERROR, PROTOCOL_ERROR)


# -- sections 4.3 and 6.10: header blocks


def test_a_broken_header_block_ends_the_connection() -> None:
    block = HeadersFrame(1, data=b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"])
    assert broken(Peer(), block) in (COMPRESSION_ERROR, PROTOCOL_ERROR)


def test_a_header_block_may_come_in_continuations() -> None:
    peer = Peer()
    block = Encoder().encode(REQUEST)
    assert peer.say(HeadersFrame(1, data=block[:5], flags=["END_STREAM"])) == []
    assert peer.say(continuation(1, block[5:9])) == []
    assert peer.say(continuation(1, block[9:], "END_HEADERS")) == [Opened(1, REQUEST), Ended(1)]


def test_nothing_may_come_between_headers_and_continuation() -> None:
    first = HeadersFrame(1, data=Encoder().encode(REQUEST)[:5])
    assert broken(Peer(), first, ping()) == PROTOCOL_ERROR
    assert broken(Peer(), first, continuation(3, b"")) == PROTOCOL_ERROR


def test_a_continuation_out_of_nowhere_is_a_protocol_error() -> None:
    assert broken(Peer(), continuation(1, b"")) == PROTOCOL_ERROR


def test_continuations_without_end_cost_no_more_than_a_few_header_limits() -> None:
    peer = Peer(Limits(max_header_list_bytes=1000))
    assert broken(peer, HeadersFrame(1, data=bytes(2400)), continuation(1, bytes(2400))) == CALM


def test_a_header_list_above_the_limit_is_refused_with_its_stream_alone() -> None:
    peer = Peer(Limits(max_header_list_bytes=1000))
    large = [*REQUEST, (b"x", b"y" * 990)]
    assert peer.say(peer.headers(1, large, "END_STREAM")) == []
    assert peer.hears() == [("reset", 1, CALM)]
    assert peer.say(peer.headers(3), peer.headers(3, large[6:], "END_STREAM")) == [
        Opened(3, REQUEST),
        WasReset(3, CALM),
    ]
    # The refused list was decoded, or the next one would mean something else.
    assert peer.say(peer.headers(5)) == [Opened(5, REQUEST)]


def test_a_header_list_far_above_the_limit_ends_the_connection() -> None:
    peer = Peer(Limits(max_header_list_bytes=1000))
    assert broken(peer, peer.headers(1, [*REQUEST, *[(b"x", b"y" * 900)] * 4])) == CALM


# -- section 5.1: stream states


def test_data_on_an_idle_stream_is_a_protocol_error() -> None:
    assert broken(Peer(), data(1, b"x")) == PROTOCOL_ERROR


def test_data_after_the_end_of_a_stream_is_an_error_of_type_stream_closed() -> None:
    peer = Peer()
    peer.say(peer.headers(1, None, "END_STREAM"))
    peer.say(data(1, b"x"))
    assert ("reset", 1, STREAM_CLOSED) in peer.hears()


def test_headers_after_the_end_of_both_sides_end_the_connection() -> None:
    peer = Peer()
    peer.say(peer.headers(1, None, "END_STREAM"))
    peer.machine.send_headers(1, [(b":status", b"200")], end=True)
    peer.machine.release(1, 0)
    assert broken(peer, peer.headers(1)) == STREAM_CLOSED


def test_data_on_a_stream_the_peer_has_reset_is_told_once() -> None:
    peer = Peer()
    peer.say(peer.headers(1), reset(1))
    peer.say(data(1, b"x"), data(1, b"y"))
    assert [frame for frame in peer.hears() if frame[0] == "reset"] == [("reset", 1, STREAM_CLOSED)]


def test_windows_and_resets_that_come_after_the_end_are_passed_over() -> None:
    peer = Peer()
    peer.say(peer.headers(1, None, "END_STREAM"))
    peer.machine.send_headers(1, [(b":status", b"200")], end=True)
    assert peer.say(window(1, 5)) == []
    peer.machine.release(1, 0)
    assert peer.say(window(1, 5), reset(1)) == []
    assert [frame[0] for frame in peer.hears()] == ["headers"]


def test_stream_numbers_only_go_up_and_are_odd() -> None:
    peer = Peer()
    peer.say(peer.headers(5, None, "END_STREAM"))
    assert broken(peer, peer.headers(3)) == PROTOCOL_ERROR
    peer = Peer()
    assert broken(peer, peer.headers(2)) == PROTOCOL_ERROR


def test_streams_above_the_limit_are_refused_and_the_others_live() -> None:
    peer = Peer(Limits(max_streams=2))
    events = peer.say(*(peer.headers(number) for number in (1, 3, 5)))
    assert events == [Opened(1, REQUEST), Opened(3, REQUEST)]
    assert ("reset", 5, ErrorCode.REFUSED_STREAM) in peer.hears()
    peer.machine.release(1, 0)
    assert peer.say(peer.headers(7)) == [Opened(7, REQUEST)]


def test_a_request_that_was_reset_still_counts_until_its_handler_is_done() -> None:
    peer = Peer(Limits(max_streams=1))
    assert peer.say(peer.headers(1), reset(1)) == [Opened(1, REQUEST), WasReset(1, 8)]
    assert peer.say(peer.headers(3)) == []
    peer.machine.release(1, 0)
    assert peer.say(peer.headers(5)) == [Opened(5, REQUEST)]


# -- section 5.3: priority is read and ignored


def test_priority_is_ignored_but_a_stream_cannot_depend_on_itself() -> None:
    peer = Peer()
    assert peer.say(priority(9, 7)) == []
    assert broken(peer, priority(9, 9)) == PROTOCOL_ERROR


# -- section 6.4: resets


def test_a_reset_of_an_idle_stream_is_a_protocol_error() -> None:
    assert broken(Peer(), reset(1)) == PROTOCOL_ERROR


def test_frames_that_cross_our_reset_are_not_the_peers_fault() -> None:
    peer = Peer()
    peer.say(peer.headers(1))
    peer.machine.reset(1, 8)
    peer.machine.release(1, 0)
    assert peer.say(data(1, b"late"), window(1, 5), peer.headers(3)) == [Opened(3, REQUEST)]


# -- section 6.5: settings


def test_settings_are_acknowledged_and_their_windows_apply_to_open_streams() -> None:
    peer = Peer(settings={4: 3})
    peer.say(peer.headers(1))
    peer.machine.send_headers(1, [(b":status", b"200")])
    peer.machine.send_body(1, b"hello")
    assert peer.hears()[-1] == ("data", 1, b"hel", False)
    peer.say(SettingsFrame(0, settings={4: 10}))
    assert peer.hears() == [("settings", {}, True), ("data", 1, b"lo", False)]


def test_the_first_frame_is_settings() -> None:
    machine = Machine(client=False, limits=Limits())
    with pytest.raises(PeerBrokeRules):
        machine.receive(PREFACE + ping().serialize(), 0.0)


def test_settings_nobody_knows_are_ignored_and_too_many_are_not_read() -> None:
    peer = Peer()
    peer.say(raw(4, 0, 0, b"\xff\x01\0\0\0\x01"))
    assert peer.hears() == [("settings", {}, True)]
    assert broken(peer, raw(4, 0, 0, b"\0\x03\0\0\0\x01" * 1000)) == CALM


def test_a_peer_that_wants_a_smaller_header_table_is_obeyed() -> None:
    peer = Peer(settings={1: 0})
    peer.decoder.max_allowed_table_size = 0
    for stream_id in (1, 3):
        peer.say(peer.headers(stream_id))
        peer.machine.send_headers(stream_id, [(b":status", b"200"), (b"x", b"y")])
        assert peer.hears()[-1] == ("headers", stream_id, [(b":status", b"200"), (b"x", b"y")], False)


def test_a_header_block_above_the_peers_frame_size_leaves_in_continuations() -> None:
    peer = Peer()
    peer.say(peer.headers(1))
    fields = [(b":status", b"200"), *[(b"x%d" % number, bytes([35 + number]) * 9000) for number in range(6)]]
    peer.machine.send_headers(1, fields, end=True)
    first, *rest = frames_of(peer.machine.take())
    assert len(rest) > 1 and all(len(frame.data) <= 16_384 for frame in (first, *rest))
    assert [frame.flags for frame in rest] == [set()] * (len(rest) - 1) + [{"END_HEADERS"}]
    assert first.flags == {"END_STREAM"}
    peer.decoder.max_header_list_size = 2**20
    block = b"".join(frame.data for frame in (first, *rest))
    assert [tuple(field) for field in peer.decoder.decode(block, raw=True)] == fields


@pytest.mark.parametrize(
    ("settings", "code"), [({2: 2}, PROTOCOL_ERROR), ({4: 2**31}, FLOW_CONTROL_ERROR), ({5: 100}, PROTOCOL_ERROR)]
)
def test_impossible_settings_are_errors(settings: dict[int, int], code: int) -> None:
    body = b"".join(key.to_bytes(2) + value.to_bytes(4) for key, value in settings.items())
    assert broken(Peer(), raw(4, 0, 0, body)) == code


def test_settings_on_a_stream_are_a_protocol_error() -> None:
    assert broken(Peer(), raw(4, 0, 1, b"")) == PROTOCOL_ERROR


# -- section 6.7: ping


def test_a_ping_is_answered_with_its_payload_and_an_answer_is_not() -> None:
    peer = Peer()
    assert peer.say(ping(b"abcdefgh"), ping(b"12345678", "ACK")) == [Ponged(b"12345678")]
    assert peer.hears() == [("ping", b"abcdefgh", True)]


# -- section 6.8: going away


def test_a_drain_announces_itself_then_refuses_and_lets_streams_finish() -> None:
    peer = Peer()
    peer.say(peer.headers(1, None, "END_STREAM"))
    peer.machine.drain()
    (_, most, code), (_, payload, _) = peer.hears()
    assert (most, code) == (2**31 - 1, 0)
    assert peer.say(peer.headers(3)) == [Opened(3, REQUEST)]
    peer.say(ping(payload, "ACK"))
    assert peer.hears() == [("goaway", 3, 0)]
    assert peer.say(peer.headers(5)) == []
    peer.machine.send_headers(1, [(b":status", b"200")], end=True)
    assert peer.hears() == [("reset", 5, ErrorCode.REFUSED_STREAM), ("headers", 1, [(b":status", b"200")], True)]


def test_streams_below_a_goaways_id_go_on() -> None:
    peer = Peer(client=True)
    first = peer.machine.open(REQUEST, end=True)
    assert peer.say(goaway(first)) == [GoneAway(first, 0, b"")]
    peer.machine.ping(b"12345678")
    assert [type(event).__name__ for event in peer.say(peer.headers(first, [(b":status", b"200")], "END_STREAM"))] == [
        "Answered",
        "Ended",
    ]
    assert peer.hears()[-1] == ("ping", b"12345678", False)


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
