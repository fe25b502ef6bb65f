"""Messages, metadata, statuses and deadlines: what goes in comes out, and what is malformed is named."""

from __future__ import annotations

import gzip

import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from protocols.grpc.deadline import decode_timeout, encode_timeout
from protocols.grpc.errors import MessageError, MessageTooLarge, MetadataError
from protocols.grpc.framing import Unpacker, pack
from protocols.grpc.metadata import decode_metadata, encode_metadata
from protocols.grpc.status import decode_message, decode_status, encode_message, encode_status, error_for_reset


def unpack(*pieces: bytes, most_bytes: int = 10_000, encoding: bytes = b"gzip") -> list[bytes]:
    unpacker, messages = Unpacker(most_bytes=most_bytes, encoding=encoding), []
    for piece in pieces:
        unpacker.feed(piece)
        while (message := unpacker.take()) is not None:
            messages.append(message)
    unpacker.check_end()
    return messages


@given(st.lists(st.binary(max_size=3000), max_size=5), st.integers(1, 700), st.booleans())
def test_messages_survive_any_cutting(messages: list[bytes], step: int, compress: bool) -> None:
    wire = b"".join(pack(message, compress=compress) for message in messages)
    assert unpack(*(wire[at : at + step] for at in range(0, len(wire), step))) == messages


def test_a_message_over_the_limit_is_refused_by_its_prefix_and_while_decompressing() -> None:
    with pytest.raises(MessageTooLarge, match="is 10001 bytes; at most 10000"):
        unpack(pack(bytes(10_001))[:5])
    with pytest.raises(MessageTooLarge, match="once decompressed; at most 10000"):
        unpack(pack(bytes(10_001), compress=True))
    assert unpack(pack(bytes(10_000), compress=True)) == [bytes(10_000)]


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"x")[:-1], gzip.compress(b"x") + b"y", gzip.compress(b"a") + gzip.compress(b"b")],
    ids=["no gzip", "cut off", "more behind it", "two"],
)
def test_what_claims_to_be_gzip_must_be_all_of_it(body: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(b"\x01" + len(body).to_bytes(4) + body)


def test_compression_that_was_not_announced_is_an_error() -> None:
    with pytest.raises(MessageError, match="grpc-encoding"):
        unpack(pack(bytes(5000), compress=True), encoding=b"identity")


KEYS = st.from_regex(r"x[a-z0-9_.\-]{0,8}", fullmatch=True)
TEXT = st.tuples(
    KEYS.filter(lambda key: not key.endswith("-bin")), st.from_regex(r"([!-~]([ -~]*[!-~])?)?", fullmatch=True)
)
BYTES = st.tuples(KEYS.map(lambda key: key + "-bin"), st.binary())


@given(st.lists(TEXT | BYTES))
def test_metadata_comes_back_as_it_went(entries: list[tuple[str, str | bytes]]) -> None:
    assert list(decode_metadata(encode_metadata(entries)).items()) == entries


def test_bytes_may_be_padded_or_not_and_joined_by_commas() -> None:
    fields = [(b"k-bin", b"AA==,/w"), (b"k-bin", b"")]
    assert decode_metadata(fields).getall("k-bin") == [b"\x00", b"\xff", b""]


def test_the_transports_own_fields_are_not_metadata() -> None:
    fields = [(b":path", b"/"), (b"te", b"trailers"), (b"grpc-timeout", b"1S"), (b"user-agent", b"x"), (b"mine", b"")]
    assert list(decode_metadata(fields).items()) == [("mine", "")]


def test_bad_base64_is_named() -> None:
    with pytest.raises(MetadataError, match="'k-bin' is not valid base64"):
        decode_metadata([(b"k-bin", b"!!")])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("grpc-x", "v"),
        ("te", "v"),
        ("a b", "v"),
        ("", "v"),
        ("k", "ü"),
        ("k", b"v"),
        ("k-bin", "v"),
        ("k", "a\nb"),
        ("k", 1),
    ],
)
def test_metadata_that_cannot_travel_is_named(key: str, value: object) -> None:
    with pytest.raises(MetadataError, match="metadata"):
        encode_metadata([(key, value)])  # type: ignore[list-item]


@given(st.text(max_size=200))
def test_status_messages_are_ascii_on_the_wire_and_come_back(message: str) -> None:
    wire = encode_message(message)
    assert all(0x20 <= byte <= 0x7E for byte in wire)
    assert decode_message(wire) == message.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("message", [" before", "after ", " ", "   ", "x" * 1023 + " cut"])
def test_a_message_may_begin_and_end_with_a_blank(message: str) -> None:
    wire = encode_message(message)
    assert wire == wire.strip()
    assert decode_message(wire) == message[:1024]


def test_a_long_message_is_cut_at_a_character() -> None:
    assert decode_message(encode_message("ü" * 1000)) == "ü" * 512


def test_a_broken_message_or_broken_details_do_not_hide_the_status() -> None:
    error = decode_status([(b"grpc-status", b"5"), (b"grpc-message", b"100%"), (b"grpc-status-details-bin", b"!")])
    assert error is not None
    assert (error.status, error.message, error.details) == (Status.NOT_FOUND, "100%", None)


@pytest.mark.parametrize("fields", [[], [(b"grpc-status", b"99")], [(b"grpc-status", b"x")]])
def test_a_missing_or_impossible_status_is_unknown(fields: list[tuple[bytes, bytes]]) -> None:
    error = decode_status(fields)
    assert error is not None
    assert error.status is Status.UNKNOWN


def test_ok_is_no_error_and_resets_have_their_meaning() -> None:
    assert decode_status(encode_status(Status.OK)) is None
    meanings = {code: error_for_reset(code).status for code in (2, 7, 8, 11, 12)}
    assert meanings == {
        2: Status.INTERNAL,
        7: Status.UNAVAILABLE,
        8: Status.CANCELLED,
        11: Status.RESOURCE_EXHAUSTED,
        12: Status.PERMISSION_DENIED,
    }


@given(st.floats(1e-6, 3.5e11))
def test_timeouts_have_at_most_eight_digits_and_are_never_shorter(seconds: float) -> None:
    wire = encode_timeout(seconds)
    assert len(wire) <= 9
    assert seconds * (1 - 1e-9) <= decode_timeout(wire) <= seconds * 1.001 + 1e-6 or seconds > 3e8


@pytest.mark.parametrize("wire", [b"", b"1", b"S", b"123456789S", b"-1S", b"1.5S", b"1s"])
def test_malformed_timeouts_are_refused(wire: bytes) -> None:
    with pytest.raises(MetadataError, match="grpc-timeout"):
        decode_timeout(wire)
