"""What an operator is told: every kind of mistake with its span, and bad input of any size."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import Rejected, Ruleset, explain, format_text, load
from rules.tokens import KEYWORDS
from tests.rules.language import NOON, VOCABULARY, Shelf, acts, loaded, rejected

GOLDEN = (Path(__file__).parent / "broken.txt").read_text(encoding="utf-8")
CASES = [block.split("\n", 1) for block in GOLDEN.split("=== ")[1:]]


@pytest.mark.parametrize(("title", "block"), CASES, ids=[title for title, _ in CASES])
def test_the_message_names_place_found_wanted_and_way_out(title: str, block: str):
    source, expected = block.split("\n---\n")
    assert rejected(source) == expected.rstrip("\n"), title


def test_there_are_at_least_forty_kinds_of_mistakes():
    assert len(CASES) >= 40


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"WHEN \xff", "main.rules:1:6: this file is not UTF-8: byte 0xFF at offset 5"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "this file is binary: it has a NUL character"),
        (b"\n\n\x00", "main.rules:3:1: this file is binary"),
        ("x" * (64 * 1024 * 1024 + 1), "67108864 are the most"),
    ],
    ids=["not UTF-8", "binary", "NUL", "huge"],
)
def test_what_is_no_text_is_told_with_its_place(content: str | bytes, told: str):
    assert told in rejected(content)


def test_half_a_character_that_an_editor_sends_in_a_pattern_is_a_problem():
    assert "does not compile: it holds half of a character" in rejected(
        'WHEN message.content MATCHES /\ud83d/ THEN tag("x")'
    )


def test_endless_nesting_is_a_mistake_not_a_crash():
    assert "nest more than 60 deep" in rejected("WHEN " + "(" * 100_000 + "message.size > 1")
    assert "nest more than 60 deep" in rejected("WHEN " + "NOT " * 100_000 + "message.size > 1")
    lets = "".join(f"LET a{n} = $a{n + 1}\n" for n in range(500)) + "LET a500 = message.size > 1\n"
    assert "more than 60 deep" in rejected(lets + 'WHEN $a0 THEN tag("x")')
    lets = "".join(f"LET a{n} = " + "(" * 20 + f"NOT $a{n + 1}" + ")" * 20 + "\n" for n in range(50))
    assert "nest conditions more than 60 deep together" in rejected(
        lets + 'LET a50 = message.size > 1\nWHEN $a0 THEN tag("x")'
    )


def test_as_much_nesting_as_is_allowed_is_loaded_and_decided():
    deepest = "(" * 55 + 'message.type == "x" OR ' * 40 + "$a0" + ")" * 55
    lets = "".join(f"LET a{n} = $a{n + 1}\n" for n in range(57)) + "LET a57 = " + "NOT " * 58 + "message.size > 1\n"
    rules = loaded(f'{lets}WHEN {deepest} THEN tag("x")')
    assert acts(rules, {"message.size": 2}) == ["tag(('x',))"]
    assert len(explain(rules, "routing", {"message.size": 2}, NOON).verdicts[0].answers) == 41


def test_lets_that_double_are_stopped():
    lets = "".join(f"LET a{n} = $a{n + 1} OR $a{n + 1}\n" for n in range(50)) + "LET a50 = message.size > 1\n"
    assert "use one another more than 500 times" in rejected(lets + 'WHEN $a0 THEN tag("x")')


def test_a_hundred_thousand_mistakes_are_told_as_a_hundred():
    made = load({"main.rules": "WHEN oops\n" * 100_000}, VOCABULARY, Shelf())
    assert isinstance(made, Rejected)
    assert len(made.problems) == 101
    assert "the rest is not shown" in made.problems[-1].message


def test_a_line_of_a_megabyte_is_shown_in_part():
    shown = rejected('WHEN message.content == "' + "x" * 1_000_000 + '" THEN tga("x")')
    assert len(shown) < 1000
    assert "^" in shown


def test_the_mistakes_of_all_files_come_together():
    made = load({"b.rules": "WHEN", "a.rules": "THEN", "c.rules": ""}, VOCABULARY, Shelf())
    assert isinstance(made, Rejected)
    assert [problem.file for problem in made.problems] == ["a.rules", "b.rules"]


WORDS = [*sorted(KEYWORDS), "message.size", "message.content", "tag", "(", ")", "[", "]", ",", "=", "==", "!=", "<"]
WORDS += ['"x"', "1", "1.5", "5m", "1KB", "09:00", "..", "-", "$", "a", "/x/", "# c\n", "\n", "MON", "\\", "'", '"']


@given(st.lists(st.sampled_from(WORDS), max_size=40))
@settings(max_examples=100, deadline=None)
def test_words_in_any_order_never_crash_the_parser(words: list[str]):
    never_raises(" ".join(words))


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_text_of_any_kind_never_crashes_the_parser(text: str):
    never_raises(text)


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_bytes_of_any_kind_never_crash_the_loader(content: bytes):
    assert isinstance(load({"a.rules": content}, VOCABULARY, Shelf()), Ruleset | Rejected)


def never_raises(text: str) -> None:
    made = load({"a.rules": text}, VOCABULARY, Shelf())
    if isinstance(made, Rejected):
        assert made.render()
    formatted = format_text(text)
    if isinstance(formatted, str):
        assert format_text(formatted) == formatted


def test_knots_of_lets_are_told_in_bounded_number_and_time():
    ring = "".join(f"LET a{number} = $a{(number + 1) % 3000}\n" for number in range(3000))
    beside = "LET x = $y\nLET y = $x\nLET z = $x\nLET free = message.size > 3\nLET leads = $free\n"
    made = load({"a.rules": ring, "b.rules": beside + "WHEN $z OR $leads THEN tag()"}, VOCABULARY, Shelf())
    assert isinstance(made, Rejected)
    told = [(one.file, one.message) for one in made.problems]
    assert len(told) == 10 + 3
    assert told[0] == ("a.rules", "LET a0 leads back to itself: a0 → a1 → a2 → a3 → a4 → a5 → a6 → a7")
    assert told[10:12] == [
        ("b.rules", f"LET {name} leads back to itself: {name} → {other} → {name}") for name, other in ("xy", "yx")
    ]


def test_a_mistake_of_a_let_is_told_once_however_long_the_chain_to_it():
    chain = "".join(f"LET a{n} = $a{n + 1} AND $a{n + 1}\n" for n in range(5)) + "LET a5 = message.sise > 1\n"
    made = load({"a.rules": chain + 'WHEN $a0 THEN tag("x")'}, VOCABULARY, Shelf())
    assert isinstance(made, Rejected)
    assert [(one.line, one.message) for one in made.problems] == [(6, "there is no field message.sise")]


def test_lets_that_are_too_many_are_told_without_a_litany_of_names():
    chain = "".join(f"LET a{n} = $a{n + 1} AND $a{n + 1}\n" for n in range(60)) + "LET a60 = message.size > 1\n"
    made = load({"a.rules": chain + 'WHEN $a0 THEN tag("x")'}, VOCABULARY, Shelf())
    assert isinstance(made, Rejected)
    assert {one.message for one in made.problems} == {"LETs use one another more than 500 times here"}
    assert len(made.problems) <= 20


def test_a_file_of_wrong_lets_tells_a_hundred_of_them():
    made = load({"a.rules": "".join(f"LET b{n} = message.sise > 3\n" for n in range(500))}, VOCABULARY, Shelf())
    assert isinstance(made, Rejected)
    assert len(made.problems) == 101


def test_a_conjunction_of_thousands_of_tests_means_what_it_says():
    tests = " AND ".join(f'message.content CONTAINS "w{number}"' for number in range(5000))
    rules = loaded(f'RULE "all" WHEN {tests} AND message.type == "x" THEN tag("y")')
    words = " ".join(f"w{number}" for number in range(5000))
    assert rules.matches("routing", {"message.content": words, "message.type": "x"}, NOON)
    assert not rules.matches("routing", {"message.content": words[:-1], "message.type": "x"}, NOON)
