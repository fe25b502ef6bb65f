"""Heads that we send: what they look like, and what never gets into one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import UnsafeHeader
from protocols.http1.grammar import are_field_lines
from protocols.http1.writer import answer_bytes, checked_lines, request_head


def test_a_request_head_names_its_host_first_and_its_length_last() -> None:
    head = request_head("POST", "/a?b", "x:1", (("A", "b"), ("100%s", "50%")), length=3)
    assert head == b"POST /a?b HTTP/1.1\r\nHost: x:1\r\nA: b\r\n100%s: 50%\r\nContent-Length: 3\r\n\r\n"
    assert request_head("GET", "/", "x", (), length=0) == b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "field",
    [
        ("a", "b\r\nc: d"),
        ("a", "b\n"),
        ("a", "b\0"),
        ("a", "b\u0100"),
        ("", "b"),
        ("a:", "b"),
        ("a b", "c"),
        ("a\r", "b"),
    ],
)
def test_a_field_that_would_split_a_message_is_refused_wherever_it_stands(field: tuple[str, str]) -> None:
    for fields in ((field,), (("x", "y"), field), (field, ("x", "y"))):
        with pytest.raises(UnsafeHeader, match="cannot be sent"):
            checked_lines(fields)
        with pytest.raises(UnsafeHeader):
            answer_bytes(200, fields, b"")


@pytest.mark.parametrize(
    ("method", "target", "host"), [("GE T", "/", "x"), ("", "/", "x"), ("GET", "/ a", "x"), ("GET", "/é", "x"),
                                   ("GET", "/\r\n", "x"), ("GET", "/", "x\r\nA: b")],
)  # fmt: skip
def test_a_first_line_that_would_split_a_message_is_refused(method: str, target: str, host: str) -> None:
    with pytest.raises(UnsafeHeader):
        request_head(method, target, host, (), length=0)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=8)), max_size=4).map(tuple))
def test_what_is_written_is_one_line_for_each_field_or_refused(fields: tuple[tuple[str, str], ...]) -> None:
    try:
        lines = checked_lines(fields)
    except UnsafeHeader:
        return
    assert are_field_lines(lines)
    assert lines == b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)
