"""Remembered header blocks mean what they meant to hpack itself, whatever goes by in between."""

from __future__ import annotations

from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from protocols.http2.header_cache import REMEMBERED, RememberingDecoder, RememberingEncoder

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
            assert [tuple(f) for f in decoder.decode(encoder.encode(block), raw=True)] == block


def test_the_memory_is_bounded_and_hands_out_copies() -> None:
    encoder, decoder = Encoder(), RememberingDecoder(65536)
    fields = [(b":status", b"200")]
    block = encoder.encode(fields)
    decoder.decode(block, raw=True).clear()
    assert [tuple(f) for f in decoder.decode(block, raw=True)] == fields
    for repeats in range(3 * REMEMBERED):
        decoder.decode(block * repeats, raw=True)
    assert len(decoder._known) <= REMEMBERED
