"""The server's machine: one table, two parsers, any cut of the bytes, the same answers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.errors import Refusal
from protocols.http1 import heads_h11, heads_httptools
from protocols.http1.heads import Head, ReadHead, UnreadableHead, best_read_head
from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Peer, Request
from protocols.http1.reader import RequestReader
from tests.protocols.http1.cases import CASES, CHUNKED, HOST, OK, get, post

PARSERS = {"h11": heads_h11.read_head, "httptools": heads_httptools.read_head}
LIMITS = HttpLimits(head_bytes=2048, target_bytes=512, head_fields=30, body_bytes=1000)


@dataclass
class Heard:
    """What came of some bytes."""

    requests: list[Request]
    refused: int | None = None

    @property
    def statuses(self) -> list[int]:
        return [200] * len(self.requests) + ([] if self.refused is None else [self.refused])


def hear(parser: ReadHead, pieces: list[bytes]) -> Heard:
    reader = RequestReader(parser, LIMITS, Peer("127.0.0.1", 1))
    heard = Heard([])
    for piece in pieces:
        reader.feed(piece)
        try:
            while (request := reader.next_request()) is not None:
                heard.requests.append(request)
                if not request.keep_alive:
                    return heard
        except Refusal as refusal:
            heard.refused = refusal.status
            return heard
    return heard


def one_by_one(raw: bytes) -> list[bytes]:
    return [raw[n : n + 1] for n in range(len(raw))]


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize(("raw", "statuses"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bytes_get_the_answer_they_deserve(parser: ReadHead, raw: bytes, statuses: list[int]) -> None:
    assert hear(parser, [raw]).statuses == statuses
    assert hear(parser, one_by_one(raw)).statuses == statuses


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len(CASES) >= 40
    assert len({name for name, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_a_request_is_read_as_it_was_sent(parser: ReadHead) -> None:
    raw = get(b"host: x:80\r\nX-A: 1\r\nx-a:  two \r\n", line=b"GET /a%2Fb?c=d?e HTTP/1.1")
    request = hear(parser, [raw]).requests[0]
    assert (request.method, request.target) == ("GET", "/a%2Fb?c=d?e")
    assert (request.path, request.query, request.version) == ("/a%2Fb", "c=d?e", "1.1")
    assert request.headers.get("X-a") == "1, two"
    assert request.headers.get_all("X-A") == ["1", "two"]
    assert request.headers.get("missing", "default") == "default"
    assert "HOST" in request.headers


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_a_body_is_whole_however_it_was_sent(parser: ReadHead) -> None:
    body = bytes(range(256)) * 3
    plain = post(b"Content-Length: %d\r\n" % len(body), body)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[n : n + 100]), body[n : n + 100]) for n in range(0, len(body), 100))
    for raw in (plain, post(CHUNKED, chunks + b"0\r\n\r\n")):
        assert hear(parser, [raw]).requests[0].body == body
        assert hear(parser, one_by_one(raw)).requests[0].body == body


def test_an_absolute_target_yields_its_path() -> None:
    for target, path, query in (("http://x", "/", ""), ("http://x?a", "/", "a"), ("http://x/b?/c", "/b", "/c")):
        raw = get(HOST, line=b"GET %b HTTP/1.1" % target.encode())
        request = hear(heads_httptools.read_head, [raw]).requests[0]
        assert (request.target, request.path, request.query) == (target, path, query)


def test_the_faster_parser_serves_where_it_is_installed() -> None:
    assert best_read_head() is heads_httptools.read_head


def test_memory_is_bounded_while_a_client_sends_nonsense() -> None:
    reader = RequestReader(heads_httptools.read_head, LIMITS, Peer(""))
    with pytest.raises(Refusal):
        for _ in range(1000):
            reader.feed(b"x" * 100)
            reader.next_request()
    reader.feed(b"y" * 100_000)
    assert reader.buffered == b""


# ── all readers, any bytes ─────────────────────────────────────────────

_PIECES = st.sampled_from(
    [b"GET", b"POST", b" ", b"/", b"*", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r", b"\n", b":", b"Host: x",
     b"Content-Length: 3", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Connection: ", b"close",
     b"Upgrade: websocket", b"upgrade", b"0", b"3", b"abc", b",", b";", b"\t", b"\x00", b"\xff", b"Expect: coffee",
     b"http://", b"a", b"-", b"X-Y: z", OK, CHUNKED, HOST]
)  # fmt: skip
_WIRE = st.lists(st.one_of(_PIECES, st.binary(max_size=6)), max_size=25).map(b"".join)
_FIELDS = st.lists(
    st.one_of(
        st.sampled_from([HOST, CHUNKED, b"Content-Length: 3\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n",
                         b"Upgrade: h2c\r\n", b"Keep-Alive: 5\r\n", b"TE: trailers\r\n"]),
        st.tuples(st.from_regex(rb"[A-Za-z-]{1,12}", fullmatch=True), st.binary(max_size=12)).map(
            lambda field: field[0] + b": " + field[1] + b"\r\n"
        ),
    ),
    max_size=6,
).map(b"".join)  # fmt: skip
_LINES = st.sampled_from([b"GET / HTTP/1.1\r\n", b"POST /a?b HTTP/1.1\r\n", b"PUT http://x/ HTTP/1.1\r\n",
                          b"HEAD / HTTP/1.0\r\n", b"OPTIONS * HTTP/1.1\r\n", b"DELETE /% HTTP/1.1\r\n"])  # fmt: skip
_REQUESTS = st.tuples(_LINES, _FIELDS, st.sampled_from([b"\r\n", b"\r\nabc", b"\r\n3\r\nabc\r\n0\r\n\r\n"])).map(
    b"".join
)


@settings(max_examples=100)
@given(raw=st.one_of(_WIRE, _REQUESTS, st.binary(max_size=60)), cuts=st.lists(st.integers(0, 200), max_size=5))
@example(raw=b"\r", cuts=[])
def test_any_bytes_are_read_alike_by_both_parsers_and_however_cut(raw: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(edges)]
    whole = hear(heads_httptools.read_head, [raw])
    for heard in (hear(heads_h11.read_head, [raw]), hear(heads_httptools.read_head, pieces)):
        assert heard.statuses == whole.statuses
        assert [(r.target, r.body) for r in heard.requests] == [(r.target, r.body) for r in whole.requests]
        assert [dict(r.headers.index) for r in heard.requests] == [dict(r.headers.index) for r in whole.requests]


@settings(max_examples=100)
@given(head=_REQUESTS)
def test_a_head_parser_raises_nothing_but_unreadable_head(head: bytes) -> None:
    for parser in PARSERS.values():
        try:
            assert isinstance(parser(head), Head)
        except UnreadableHead:
            pass
