"""URLs, server-sent events and problem documents."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import AnswerTooLarge, BadUrl
from protocols.problem import problem
from protocols.sse import ServerSentEvent, SseDecoder
from protocols.urls import Url, parse_url, path_segments, query_pairs


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


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_come_out_as_they_went_in_however_cut(size: int) -> None:
    wire = (
        b": still here\n\n"
        + "event: délta\nid: 7\nretry: 30\ndata: é\ndata:\ndata:  🎉\n\n".encode()
        + b"id\ndata\n\n"
        + b"event: nothing\n\n"
        + b"retry: soon\nid: a\0b\nother: x\ndata: {}\n\n"
    )
    decoder, got = SseDecoder(), []
    for start in range(0, len(wire), size):
        got += decoder.feed(wire[start : start + size])
    assert got == [ServerSentEvent("é\n\n 🎉", "délta", "7", 30), ServerSentEvent(""), ServerSentEvent("{}")]


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
    with pytest.raises(AnswerTooLarge):
        for _ in range(100):
            decoder.feed(b"data: " + b"x" * 60_000 + b"\n")


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
