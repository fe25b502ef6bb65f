"""A long text is cut where a reader would cut it, and everything is still there."""

from __future__ import annotations

import re

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.message.chunking import _begins_cluster, chunk, size
from gateway.message.fences import find_fences

UNITS = ("points", "utf16", "bytes")
MENTION = re.compile(r"<@[^<>]{1,20}>")
latin = ["a", "word", " ", "  ", "\n", "\n\n", "\t", "\r\n", "é", "e\u0301", " \u0301", "-", "https://example.com/a"]
others = ["中文", "。", "！」", "日本語", "🇩🇪", "👍🏽", "👨‍👩‍👧‍👦", "नि", "กำ", "سلام", "한국", "<@U1>", "<@Ann Lee>"]
alphabet = st.sampled_from(latin + others)
texts = st.lists(alphabet, max_size=120).map("".join)
code_lines = st.lists(st.sampled_from(["x = 1", "    y", "", "é中", "``", "~~~"]), max_size=12)
blocks = st.builds(
    lambda mark, info, lines, tail: "\n".join([mark + info, *lines, mark, tail]),
    st.sampled_from(["```", "````"]),
    st.sampled_from(["", "python", "js title"]),
    code_lines,
    texts,
)
limits = st.integers(40, 90)


def squeezed(text: str) -> str:
    return re.sub(r"[ \t\r\n]+", "", text)


@settings(max_examples=100)
@given(texts, limits, st.sampled_from(UNITS))
def test_every_piece_fits_and_nothing_is_lost_but_whitespace(text, limit, unit):
    pieces = chunk(text, limit, unit)
    assert all(size(piece, unit) <= limit for piece in pieces)
    assert squeezed("".join(pieces)) == squeezed(text)
    if size(text, unit) > limit:
        assert all(piece.strip() for piece in pieces)


@settings(max_examples=100)
@given(texts, limits, st.sampled_from(UNITS))
@example("a \u0301" * 60, 32, "points")
@example("🇩🇪" * 40, 35, "points")
def test_a_grapheme_cluster_is_never_parted(text, limit, unit):
    borders, place = {0}, 0
    for cluster in regex.findall(r"\X", text):
        place += len(cluster)
        borders.add(place)
    place = 0
    for piece in chunk(text, limit, unit):
        place = text.index(piece, place)
        assert {place, place + len(piece)} <= borders
        place += len(piece)


@settings(max_examples=100)
@given(texts, limits, st.sampled_from(UNITS))
def test_a_mention_is_never_parted(text, limit, unit):
    pieces = chunk(text, limit, unit, tokens=MENTION)
    assert [found for piece in pieces for found in MENTION.findall(piece)] == MENTION.findall(text)


@settings(max_examples=100)
@given(st.lists(blocks, min_size=1, max_size=4).map("\n".join), limits, st.sampled_from(UNITS))
def test_every_piece_closes_the_fences_it_opens_and_the_code_is_all_there(text, limit, unit):
    pieces = chunk(text, limit, unit)
    assert all(size(piece, unit) <= limit for piece in pieces)
    assert all(fence.end < fence.after for piece in pieces for fence in find_fences(piece))
    assert squeezed("".join(map(code, pieces))) == squeezed(code(text))
    assert squeezed("".join(map(prose, pieces))) == squeezed(prose(text))


def code(text: str) -> str:
    return "\n".join(text[fence.inside : fence.end] for fence in find_fences(text))


def prose(text: str) -> str:
    for fence in reversed(find_fences(text)):
        text = text[: fence.start] + text[fence.after :]
    return text


def test_a_text_that_fits_is_returned_as_it_is():
    assert chunk("", 10) == ("",)
    assert chunk("  as it is \n", 12) == ("  as it is \n",)
    assert chunk("x" * 5000, 0) == ("x" * 5000,)


def test_paragraphs_come_before_lines_before_words_before_a_hard_cut():
    assert chunk("aaaa aaaa\naaaa\n\nbbbb b\nbbbb bbbb", 24) == ("aaaa aaaa\naaaa", "bbbb b\nbbbb bbbb")
    assert chunk("aaaa aaaa aaaa\nbbbb bbbb bbbb", 24) == ("aaaa aaaa aaaa", "bbbb bbbb bbbb")
    assert chunk("aaaa aaaa aaaa bbbb bbbb", 20) == ("aaaa aaaa aaaa bbbb", "bbbb")
    assert chunk("abcdefghij" * 3, 20) == ("abcdefghij" * 2, "abcdefghij")


def test_an_early_paragraph_does_not_leave_a_tiny_piece():
    assert chunk("Hi!\n\n" + "word " * 8, 32) == ("Hi!\n\nword word word word word", "word word word ")


def test_chinese_is_cut_behind_its_punctuation():
    assert chunk("今天天气很好。我们去公园吧！你来吗", 16) == ("今天天气很好。我们去公园吧！", "你来吗")


def test_a_new_line_keeps_its_indentation():
    assert chunk("def f():\n    return 1\n    # done", 24) == ("def f():\n    return 1", "    # done")


def test_units_are_counted_as_the_platform_counts_them():
    text = "😀" * 20
    assert [len(piece) for piece in chunk(text, 20, "points")] == [20]
    assert [len(piece) for piece in chunk(text, 20, "utf16")] == [10, 10]
    assert [len(piece) for piece in chunk(text, 20, "bytes")] == [5, 5, 5, 5]


def test_a_fence_is_closed_and_opened_again_with_its_info():
    text = "Look:\n```python\nfirst = 1\nsecond = 2\nthird = 3\nfourth = 4\n```\nThat is all."
    assert chunk(text, 40) == (
        "Look:\n```python\nfirst = 1\nsecond = 2\n```",
        "```python\nthird = 3\nfourth = 4\n```",
        "That is all.",
    )


def test_a_cluster_or_token_longer_than_a_piece_is_cut_all_the_same():
    zalgo = "a" + "\u0301" * 50
    assert "".join(chunk(zalgo, 20)) == zalgo
    assert [len(piece) for piece in chunk("<@" + "x" * 18 + ">" * 30, 20, tokens=MENTION)] == [20, 20, 10]
    assert chunk("é" * 3, 1, "bytes") == ("é", "é", "é")


def test_a_text_of_whitespace_alone_leaves_nothing():
    assert chunk(" " * 100, 20) == ()


@pytest.mark.parametrize("piece", ["```\n", "a b\n\n", "中", "`", "<@", "~~~\nx\n~~~\n", "\u0301", " ", "🇩🇪", " 한"])
def test_a_very_long_text_of_awkward_pieces_is_cut_in_one_pass(piece):
    text = piece * (200_000 // len(piece))
    assert all(len(part) <= 2000 for part in chunk(text, 2000, tokens=MENTION))


def test_a_long_row_of_flags_is_cut_between_two_of_them():
    assert {part.count("🇩🇪") * 2 for part in chunk("🇩🇪" * 5000, 1999)} == {1998, 10_000 % 1998}
    for before in ("a", "中", "👍🏽", "e\u0301\u0301"):
        parts = chunk(before + "🇩🇪" * 2500, 1000 + len(before) % 2)
        assert all(part.removeprefix(before) == "🇩🇪" * part.count("🇩🇪") for part in parts), before
    (first, *_) = chunk("a" + "👨‍👩‍👧‍👦" * 1000, 3999)
    assert first.removeprefix("a").replace("👨‍👩‍👧‍👦", "") == ""


def test_what_joins_nothing_before_it_is_known_by_its_category():
    sure = [c for c in map(chr, (*range(0xD800), *range(0xE000, 0x110000))) if not c.isascii() and _begins_cluster(c)]
    assert len(sure) > 100_000
    assert regex.findall(r"\X", "".join(f" {c}\n" for c in sure)) == [each for c in sure for each in (" ", c, "\n")]
