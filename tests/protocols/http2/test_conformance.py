"""RFC 9113 on frames, streams, settings and endings: these bytes in, these events and frames out."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.events import Chunk, Ended, GoneAway, Opened, Ponged, WasReset
from protocols.http2.frames import PREFACE, ErrorCode
from protocols.http2.limits import Limits
from protocols.http2.machine import Machine
from tests.protocols.http2.peer import (
    REQUEST,
    Peer,
    broken,
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
