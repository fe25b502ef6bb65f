"""The client's machine: whoever reads the head, and however the bytes are cut, the answer is the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import HttpClientError
from protocols.http1 import heads_h11, heads_httptools
from protocols.http1.heads import ReadStatus
from protocols.http1.response_reader import ResponseReader

READERS: list[ReadStatus] = [heads_httptools.read_status, heads_h11.read_status]


def hear(read: ReadStatus, pieces: list[bytes], *, to_head: bool = False) -> object:
    reader = ResponseReader(read, body_bytes=1000, to_head=to_head)
    try:
        for piece in (*pieces, b""):
            if piece or not reader.finished:
                reader.feed(piece)
    except HttpClientError as error:
        return type(error)
    return reader.status, dict(reader.headers.index), reader.take(), reader.tail, reader.reusable


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 200OK\r\n", b"HTTP/1.1 20 OK\r\n", b"HTTP/2.0 200 OK\r\n",
     b"HTTP/1.1  200 OK\r\n", b"HTTP/1.1 101 OK\r\nUpgrade:\r\nConnection: upgrade\r\n",
     b"HTTP/1.1 200 OK\r\nA b\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n", b"HTTP/1.1 200 OK\r\n A: b\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
     b"HTTP/1.1 304 OK\r\nContent-Length: x\r\n", b"HTTP/1.1 103 OK\r\nContent-Length: x\r\n",
     b"HTTP/1.1 101 OK\r\nUpgrade: x\r\n", b"HTTP/1.1 101 OK\r\nConnection: upgrade\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"],
)  # fmt: skip
def test_a_head_that_can_be_misread_is_no_answer(read: ReadStatus, head: bytes) -> None:
    outcome = hear(read, [head + b"\r\nhello"])
    assert isinstance(outcome, type) and issubclass(outcome, HttpClientError)


_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 \r\n", b"HTTP/1.1 204\r\n", b"HTTP/1.0 500 Oh no \r\n",
     b"HTTP/1.1 304 Not\r\n",
     b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n", b"HTTP/1.1 410 \xe9\r\n"]
)  # fmt: skip
_FIELDS = st.lists(
    st.one_of(
        st.sampled_from([b"Content-Length: 3\r\n", b"content-length:3 \t\r\n", b"Transfer-Encoding: chunked\r\n",
                         b"Connection: keep-alive, Close\r\n", b"Connection: keep-alive\r\n",
                         b"Keep-Alive: timeout=5\r\n",
                         b"X: a  b \t c\t \r\n", b"X:\r\n", b"Upgrade: h2c\r\n", b"Connection: upgrade\r\n"]),
        st.tuples(st.from_regex(rb"[A-Za-z-]{1,8}", fullmatch=True), st.binary(max_size=8)).map(
            lambda field: field[0] + b":" + field[1] + b"\r\n"
        ),
    ),
    max_size=5,
).map(b"".join)  # fmt: skip
_REST = st.sampled_from([b"\r\n", b"\r\nabc", b"\r\nabcdef", b"\r\n3\r\nabc\r\n0\r\n\r\n", b"\r\n0\r\nA: b\r\n\r\n"])


@settings(max_examples=100)
@given(st.tuples(_LINES, _FIELDS, _REST).map(b"".join), st.lists(st.integers(0, 120), max_size=4), st.booleans())
def test_any_answer_is_read_alike_by_both_parsers_and_however_cut(raw: bytes, cuts: list[int], to_head: bool) -> None:
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(edges) if b > a]
    outcomes = [hear(read, [raw], to_head=to_head) for read in READERS]
    assert outcomes[0] == outcomes[1] == hear(READERS[0], pieces, to_head=to_head)
