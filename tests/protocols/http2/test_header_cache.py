"""Remembered header blocks mean what they meant to hpack itself, whatever goes by in between."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from protocols.http2.errors import PeerBrokeRules
from protocols.http2.frames import ErrorCode
from protocols.http2.header_cache import MOST_INDEXES, REMEMBERED, RememberingDecoder, RememberingEncoder

NAMES = st.sampled_from([b":status", b":path", b"content-type", b"grpc-status", b"x-a", b"x-b"])
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b"200", b"/", b"0", b"one", b"two", b"three" * 30])), max_size=4)
SIZES = st.sampled_from([0, 64, 200, 4096])


@given(st.lists(FIELDS | SIZES, max_size=30))
def test_what_the_encoder_remembers_the_peer_understands(blocks: list[list[tuple[bytes, bytes]] | int]) -> None:
    encoder, decoder = RememberingEncoder(), Decoder()
    for block in blocks:
        if isinstance(block, int):
            encoder.header_table_size = block
        else:
            assert [tuple(f) for f in decoder.decode(encoder.encode(block), raw=True)] == block


@given(st.lists(FIELDS | SIZES, max_size=30))
def test_what_the_decoder_remembers_is_what_the_peer_says(blocks: list[list[tuple[bytes, bytes]] | int]) -> None:
    encoder, decoder = Encoder(), RememberingDecoder(65536)
    for block in blocks:
        if isinstance(block, int):
            # hpack itself forgets to announce a size that is set twice.
            if block != encoder.header_table_size:
                encoder.header_table_size = block
        else:
            assert [tuple(f) for f in decoder.decode(encoder.encode(block)).fields] == block


def test_the_memory_is_bounded_in_blocks_and_in_what_one_block_holds() -> None:
    encoder, decoder = Encoder(), RememberingDecoder(65536)
    block = encoder.encode([(b":status", b"200")])
    for repeats in range(3 * REMEMBERED):
        decoder.decode(block * repeats)
    assert len(decoder._known) <= REMEMBERED
    decoder.decode(block * 1000)
    assert max(map(len, decoder._known)) <= MOST_INDEXES


def test_what_is_no_hpack_is_told_as_such() -> None:
    decoder = RememberingDecoder(65536)
    for block in (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x40\x05ab", b"\xc6"):
        with pytest.raises(PeerBrokeRules) as caught:
            decoder.decode(block)
        assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_block_that_only_changes_the_table_over_and_over_is_not_read() -> None:
    decoder = RememberingDecoder(65536)
    decoder.decode(b"\x20\x3f\xe1\x1f")
    with pytest.raises(PeerBrokeRules) as caught:
        decoder.decode(b"\x20\x3f\xe1\x1f" * 100)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM
