"""traceparent: the standard's own examples, its refusals, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.traceparent import Traceparent, begin, child, parse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_the_standards_examples_are_read():
    assert parse(f"00-{TRACE}-{SPAN}-01") == Traceparent(TRACE, SPAN, True)
    assert parse(f"00-{TRACE}-{SPAN}-00") == Traceparent(TRACE, SPAN, False)


def test_a_later_version_may_say_more():
    assert parse(f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like") == Traceparent(TRACE, SPAN, True)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01.more",
    ],
)
def test_anything_malformed_is_ignored(header):
    assert parse(header) is None


@settings(max_examples=100)
@given(st.binary(min_size=24, max_size=24), st.binary(min_size=8, max_size=8))
def test_what_we_begin_reads_back_and_a_child_stays_in_its_trace(first, second):
    trace = begin(first)
    assert parse(str(trace)) == trace
    below = child(trace, second)
    assert parse(str(below)) == below and below.trace_id == trace.trace_id


@settings(max_examples=100)
@given(st.text())
def test_no_text_breaks_the_parser(text):
    found = parse(text)
    assert found is None or parse(str(found)) == found
