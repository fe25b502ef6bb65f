"""Header blocks, read anew or remembered, mean what they meant to hpack itself, whatever goes by in between."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given
from hypothesis import strategies as st

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.frames import ErrorCode
from protocols.http2.header_decoding import REMEMBERED, REMEMBERED_BYTES
from protocols.http2.header_decoding import Decoder as OurDecoder
from protocols.http2.header_encoding import Encoder as OurEncoder

NAMES = st.sampled_from([b":status", b":path", b"content-type", b"grpc-status", b"x-a", b"x-b"])
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b"200", b"/", b"0", b"one", b"two", b"three" * 30])), max_size=4)
SIZES = st.sampled_from([0, 64, 200, 4096])


@given(st.lists(FIELDS | SIZES, max_size=30))
def test_what_the_encoder_remembers_the_peer_understands(blocks: list[list[tuple[bytes, bytes]] | int]) -> None:
    encoder, decoder = OurEncoder(), Decoder()
    for block in blocks:
        if isinstance(block, int):
            encoder.resize(block)
        else:
            assert [tuple(f) for f in decoder.decode(encoder.encode(block), raw=True)] == block


@given(st.lists(FIELDS | SIZES, max_size=30))
def test_what_the_decoder_remembers_is_what_the_peer_says(blocks: list[list[tuple[bytes, bytes]] | int]) -> None:
    encoder, decoder = Encoder(), OurDecoder(65536)
    for block in blocks:
        if isinstance(block, int):
            # hpack itself forgets to announce a size that is set twice.
            if block != encoder.header_table_size:
                encoder.header_table_size = block
        else:
            assert [tuple(f) for f in decoder.decode(encoder.encode(block)).fields] == block


def test_the_memory_is_bounded_in_blocks_and_in_what_one_block_holds() -> None:
    encoder, decoder = Encoder(), OurDecoder(65536)
    block = encoder.encode([(b":status", b"200")])
    for repeats in range(3 * REMEMBERED):
        decoder.decode(block * repeats)
    assert len(decoder._known) <= REMEMBERED
    decoder.decode(block * 1000)
    assert max(map(len, decoder._known), default=0) <= REMEMBERED_BYTES


def test_what_is_no_hpack_is_told_as_such() -> None:
    decoder = OurDecoder(65536)
    for block in (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x40\x05ab", b"\xc6"):
        with pytest.raises(PeerBrokeRules) as caught:
            decoder.decode(block)
        assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_block_that_only_changes_the_table_over_and_over_is_not_read() -> None:
    decoder = OurDecoder(65536)
    decoder.decode(b"\x20\x3f\xe1\x1f")
    with pytest.raises(PeerBrokeRules) as caught:
        decoder.decode(b"\x20\x3f\xe1\x1f" * 100)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_only_what_calls_have_in_common_goes_into_the_peers_table() -> None:
    encoder, decoder = OurEncoder(), Decoder()
    fields = [(b":path", b"/a"), (b"authorization", b"Bearer secret"), (b"grpc-message", b"once"), (b"x-a", b"1")]
    for _ in range(2):
        written = decoder.decode(encoder.encode(fields), raw=True)
    assert [tuple(field) for field in written] == fields
    assert [bytes(name) for name, _ in decoder.header_table.dynamic_entries] == [b":path"]
    # RFC 7541, 7.1.3: a credential is marked so that a proxy keeps it out of its table, too.
    assert [field[0] for field in written if not field.indexable] == [b"authorization"]


@given(st.binary(max_size=60))
def test_no_block_whatever_does_more_than_break_the_rules(block: bytes) -> None:
    decoder, theirs = OurDecoder(65536), Decoder()
    try:
        expected = [tuple(field) for field in theirs.decode(block, raw=True)]
    except HPACKError:
        expected = None
    try:
        got = decoder.decode(block).fields
    except PeerBrokeRules:
        # Where a number has superfluous bytes hpack is more patient than we are.
        assert expected is None or max(block) == 0xFF
    else:
        assert got == expected
