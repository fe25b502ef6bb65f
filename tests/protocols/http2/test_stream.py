"""A stream's inbox: what arrives in crumbs is kept in pieces, and given back as it is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocols.http2.events import Headers
from protocols.http2.held import Held
from protocols.http2.stream import SMALL_PIECE_BYTES, Stream


class Ledger:
    """A connection that only counts."""

    def __init__(self) -> None:
        self.held = Held()
        self.given_back = 0

    def send_headers(self, stream_id: int, headers: Headers, *, end: bool = False) -> None: ...

    def send_body(self, stream_id: int, body: bytes) -> bool:
        return True

    def end(self, stream_id: int, trailers: Headers | None = None) -> None: ...

    def ended_by_us(self, stream_id: int) -> bool:
        return True

    def reset(self, stream_id: int, code: int) -> None: ...

    def consumed(self, stream_id: int, size: int) -> None:
        self.given_back += size


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=50), st.integers(0, 255)), max_size=30))
async def test_every_byte_is_read_once_in_order_and_given_back_with_its_padding(
    pieces: list[tuple[bytes, int]],
) -> None:
    ledger = Ledger()
    stream = Stream(ledger, 1)
    for body, padding in pieces:
        stream.put(body, len(body) + padding)
    stream.finish()
    read = b""
    while piece := await stream.receive():
        read += piece
    assert read == b"".join(body for body, _ in pieces)
    assert ledger.given_back == sum(len(body) + padding for body, padding in pieces)


async def test_a_body_in_single_bytes_is_kept_in_pieces() -> None:
    stream = Stream(Ledger(), 1)
    for _ in range(20_000):
        stream.put(b"x", 1)
    stream.finish()
    sizes = []
    while piece := await stream.receive():
        sizes.append(len(piece))
    assert sum(sizes) == 20_000
    assert len(sizes) == -(-20_000 // SMALL_PIECE_BYTES)


def test_what_is_not_wanted_any_more_is_given_back_at_once() -> None:
    ledger = Ledger()
    stream = Stream(ledger, 1)
    stream.put(b"before", 6)
    stream.discard()
    stream.put(b"after", 5)
    assert (ledger.given_back, stream.unread_bytes()) == (11, 0)
