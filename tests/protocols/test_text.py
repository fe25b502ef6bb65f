"""Charsets, URLs, server-sent events and problem documents."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.charset import charset_of, decode_text
from protocols.errors import BadCharset, BadUrl
from protocols.problem import problem
from protocols.sse import EventStreamTooLong, ServerSentEvent, SseDecoder, encode_comment, encode_event
from protocols.urls import Url, parse_url, path_segments, query_pairs


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("héllo".encode(), "", "héllo"),
        ("héllo".encode(), "application/json", "héllo"),
        (b"\xef\xbb\xbfhi", "text/plain; charset=UTF-8", "hi"),
        (b"h\xe9llo", "text/plain; charset=iso-8859-1", "héllo"),
        (b"\x80", 'text/plain; charset="windows-1252"', "€"),
        ("你好".encode("gb18030"), "text/plain;charset=GBK", "你好"),
        ("こんにちは".encode("cp932"), "text/plain; format=flowed; charset=Shift_JIS", "こんにちは"),
        ("hi".encode("utf-16"), "text/plain; charset=utf-16", "hi"),
    ],
)
def test_a_body_is_decoded_by_its_charset(body: bytes, content_type: str, text: str) -> None:
    assert decode_text(body, content_type) == text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff", "text/plain"),
        (b"\xed\xa0\x80", "text/plain; charset=utf-8"),
        (b"x", "text/plain; charset=klingon"),
        (b"x", "text/plain; charset=zip"),
        (b"x", "text/plain; charset=rot13"),
        (b"x", "text/plain; charset=hex"),
        (b"x", 'text/plain; charset="a\0b"'),
        (b"x", 'text/plain; charset="é"'),
        (b"x", "text/plain; charset=idna"),
        (b"x", "text/plain; charset=unicode_escape"),
        (b"\x81", "text/plain; charset=euc-kr"),
        (b"x", "text/plain; charset=utf-16"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(BadCharset):
        decode_text(body, content_type)


@settings(max_examples=100)
@given(
    body=st.binary(max_size=20),
    content_type=st.one_of(st.text(max_size=30), st.text(max_size=12).map("a/b; charset=".__add__)),
)
def test_no_body_and_no_charset_raises_anything_else(body: bytes, content_type: str) -> None:
    assert isinstance(charset_of(content_type), str)
    try:
        decode_text(body, content_type)
    except BadCharset:
        pass


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://x", Url(False, "x", 80, "/")),
        ("HTTPS://X:8443/a?b#c", Url(True, "x", 8443, "/a?b")),
        ("ws://[::1]:80/a%2Fb", Url(False, "::1", 80, "/a%2Fb")),
        ("http://bücher.example/ä?ö=ü", Url(False, "xn--bcher-kva.example", 80, "/%C3%A4?%C3%B6=%C3%BC")),
    ],
)
def test_a_url_is_taken_apart(url: str, parsed: Url) -> None:
    assert parse_url(url) == parsed


def test_an_authority_names_the_port_only_when_it_must() -> None:
    for url, authority in (("http://x:80/", "x"), ("https://x:80/", "x:80"), ("http://[::1]:8420/", "[::1]:8420")):
        assert parse_url(url).authority == authority


@settings(max_examples=100)
@given(url=st.one_of(st.text(max_size=30), st.text(max_size=20).map("http://".__add__)))
def test_any_text_is_a_url_or_a_bad_one(url: str) -> None:
    try:
        parsed = parse_url(url)
    except BadUrl:
        return
    assert parsed.target.startswith("/")
    assert parsed.target.isascii()
    assert parsed.host.isascii()


def test_paths_and_queries_are_decoded_strictly() -> None:
    assert path_segments("/channels/a%2Fb%20c") == ["channels", "a/b c"]
    assert query_pairs("a=1&b=&a=%C3%A9+x") == [("a", "1"), ("b", ""), ("a", "é x")]
    for bad in ("/%FF",):
        with pytest.raises(ValueError):
            path_segments(bad)
    with pytest.raises(ValueError):
        query_pairs("a=%FF")
    with pytest.raises(ValueError):
        query_pairs("a&" * 1000)


_NAMES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
_EVENTS = st.builds(
    ServerSentEvent,
    data=st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=30),
    name=_NAMES,
    id=_NAMES,
    retry_milliseconds=st.none() | st.integers(0, 10**6),
)


@settings(max_examples=100)
@given(events=st.lists(_EVENTS, max_size=4), size=st.integers(1, 7))
def test_events_come_out_as_they_went_in_however_cut(events: list[ServerSentEvent], size: int) -> None:
    wire = b"".join(encode_comment("still here") + encode_event(event) for event in events)
    decoder, got = SseDecoder(), []
    for start in range(0, len(wire), size):
        got += decoder.feed(wire[start : start + size])
    assert got == events


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_every_line_end_of_the_standard_is_understood(end: bytes, size: int) -> None:
    wire = b"\xef\xbb\xbf" + end.join([b"data: a", b"data:b", b": ping", b"id: 7", b"", b"data: c", b"", b"data: cut"])
    decoder, got = SseDecoder(), []
    for start in range(0, len(wire), size):
        got += decoder.feed(wire[start : start + size])
    expected = [ServerSentEvent("a\nb", id="7"), ServerSentEvent("c", id="7")]
    # A lone CR at the end of what has arrived may be half of CR LF, but it ends its line all the same.
    assert got == expected


def test_an_endless_event_is_refused() -> None:
    decoder = SseDecoder()
    with pytest.raises(EventStreamTooLong):
        for _ in range(100):
            decoder.feed(b"data: " + b"x" * 60_000 + b"\n")


def test_an_event_whose_name_holds_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError):
        encode_event(ServerSentEvent("x", name="a\nb"))


def test_a_problem_is_a_document_with_its_status() -> None:
    answer = problem(422, "The field 'text' is missing.", members={"field": "text"}, headers=(("X-A", "b"),))
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "The field 'text' is missing.",
        "field": "text",
    }
    assert answer.headers == (("Content-Type", "application/problem+json"), ("X-A", "b"))
