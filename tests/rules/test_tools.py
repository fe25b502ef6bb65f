"""Format, explain, lint and TEST blocks."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import Counters, Rejected, Ruleset, explain, format_text, lint, load, run_tests, written
from tests.rules import generate
from tests.rules.language import NOON, STRUCT_VOCABULARY, VOCABULARY, Shelf, loaded
from tests.rules.test_language import FULL

UNTIDY = """# what this is


let   a=["x",
 "y"]   # two
rule "r" priority 3 when message.type in a # why
 and (message.content contains any ["q"] or not message.size<3)
 then tag("t") and priority(1) continue
ruleset "models" mode first
# inside
when length(input)>5 then use_model("default_model")   # short
end
# the last word
"""
TIDY = """# what this is

LET a = ["x", "y"]  # two
# why
RULE "r" PRIORITY 3
WHEN message.type IN a
AND (message.content CONTAINS ANY ["q"] OR NOT message.size < 3)
THEN tag("t"), priority(1) CONTINUE
RULESET "models" MODE FIRST
  # inside
  WHEN LENGTH(input) > 5 THEN use_model("default_model")  # short
END
# the last word
"""


def test_formatting_gives_one_layout_and_keeps_comments():
    assert format_text(UNTIDY) == TIDY
    assert format_text(TIDY) == TIDY


def test_tests_that_stand_on_lines_of_their_own_stay_there():
    spread = 'WHEN message.channel == "irc"\nAND message.type == "text"\nTHEN tag("x")\n'
    assert format_text(spread) == spread
    assert format_text(spread.replace("\nAND", " AND")) == spread.replace("\n", " ").strip() + "\n"


@given(st.integers(0, 2**32), st.sampled_from([" ", "\n"]))
@settings(max_examples=40, deadline=None)
def test_formatting_twice_changes_nothing_and_keeps_the_meaning(seed: int, between: str):
    rng = Random(seed)
    text = "".join(generate.rule(rng, number).replace(" AND ", f"{between}AND ") for number in range(8))
    once = format_text(text)
    assert isinstance(once, str)
    assert format_text(once) == once
    before, after = loaded(text), loaded(once)
    for _ in range(10):
        facts = generate.facts(rng)
        assert _names(before, facts) == _names(after, facts)


def _names(rules: Ruleset, facts: dict[str, object]) -> list[str]:
    return [ref.name for ref in rules.matches("routing", facts, NOON)]


def test_a_broken_file_is_not_formatted():
    assert isinstance(format_text("WHEN x = 3 THEN"), Rejected)


def test_an_explanation_shows_every_leaf_with_the_value_it_saw():
    rules = loaded(
        'RULE "vip" WHEN message.sender.id == "a" AND message.metadata.age > 18 THEN tag("v")\n'
        'RULE "all" WHEN message.size >= 1 THEN route_to("default")\n'
        'RULE "late" WHEN message.type NOT EXISTS THEN drop("x")\n'
    )
    facts = {"message.sender.id": "a", "message.metadata": {"age": "20"}, "message.size": 2}
    assert explain(rules, "routing", facts, NOON).render() == (
        'routing: stopped by "all"\n'
        '  route_to("default") by "all"\n'
        'no match: "vip" (main.rules:1)\n'
        '  ✓ message.sender.id == "a"   "a"\n'
        "  ✗ message.metadata.age > 18   –   (wrong type: str, wanted number)\n"
        'fired: "all" (main.rules:2)\n'
        "  ✓ message.size >= 1   2\n"
        'late: "late" (main.rules:3)\n'
        "  ✓ message.type NOT EXISTS   –   (missing)"
    )
    mismatch = rules.decide("routing", facts, NOON).mismatches[0]
    assert (mismatch.field, mismatch.wanted, mismatch.found) == ('message.metadata["age"]', "number", "str")
    counters = Counters()
    counters.note(rules.decide("routing", facts, NOON), NOON)
    assert counters.rules["routing", "all"].last_match == NOON
    assert counters.rules["routing", "vip"].mismatches == 1


def test_lint_finds_what_cannot_be_meant():
    rules = loaded(
        'LET unused = ["x"]\n'
        'RULE "first" WHEN message.type == "a" THEN tag("1")\n'
        'RULE "hidden" WHEN message.type == "a" AND message.size > 1 THEN tag("2")\n'
        'RULE "twice" WHEN message.type == "a" THEN tag("1")\n'
        'RULE "never" WHEN message.type == "b" AND message.type == "c" THEN tag("3")\n'
        'RULE "slow" WHEN NOT message.content CONTAINS "x" THEN tag("4")\n'
        'RULE "mixed" WHEN message.type == "q" AND message.size > 3 OR message.size > 9 THEN tag("5")\n'
        'RULE "two" WHEN message.type == "z" THEN route_to("default"), drop("no")\n'
        'RULE "empty" WHEN message.size > 9 AND message.size < 3 THEN tag("6")\n'
    )
    found = [(finding.code, finding.problem.line) for finding in lint(rules)]
    assert found == [
        ("unused-let", 1),
        ("hidden", 3),
        ("duplicate", 4),
        ("never-true", 5),
        ("optional-negation", 6),
        ("unindexed", 6),
        ("mixed-and-or", 7),
        ("terminal-conflict", 8),
        ("never-true", 9),
    ]
    assert "never reached" in lint(rules)[1].render()


def test_the_tests_of_a_file_run_against_its_rules():
    outcomes = run_tests(loaded(FULL))
    assert isinstance(outcomes, list)
    assert [(one.name, one.failures) for one in outcomes] == [("an ordinary text gets the default model", ())]


def test_a_failing_test_says_what_was_expected_and_what_came():
    cases = {
        "more.cases": 'TEST "late" GIVEN message.sender.id = "alice@example.org" AT "2026-03-02T22:00:00Z"\n'
        '  EXPECT tag("vip") EXPECT RULE "nobody" EXPECT NOT forward("oncall") EXPECT NO RULE\n'
        'TEST "missing" GIVEN message.content = MISSING, message.metadata.x = 3 EXPECT NO RULE\n'
    }
    outcomes = run_tests(loaded(FULL), cases)
    assert isinstance(outcomes, list)
    assert outcomes[1].failures == (
        'expected rule "nobody", but "vip after hours" matched',
        'expected not forward("oncall"), got tag("vip"), forward("oncall"), use_model("default_model")',
        'expected no rule, but "vip after hours" matched',
    )
    assert outcomes[2].failures == ()


def test_a_failing_test_shows_actions_as_a_rule_file_has_them():
    actions = (
        'set(message.metadata["x y"], TRUE), throttle("5/1m") PER message.sender.id, delay(90s), tag("a", "b\\"c")'
    )
    text = f'WHEN message.type == "x" THEN {actions}\nTEST "t" GIVEN message.type = "x" EXPECT drop("z")\n'
    (outcome,) = run_tests(loaded(text))
    assert outcome.failures == (
        'expected drop("z"), got set(message.metadata["x y"], TRUE), throttle("5/1m"), delay(90s), tag("a", "b\\"c")',
    )


def test_tests_play_on_objects_as_on_mappings():
    made = load({"main.rules": FULL}, STRUCT_VOCABULARY, Shelf())
    assert isinstance(made, Ruleset)
    outcomes = run_tests(made)
    assert isinstance(outcomes, list)
    assert outcomes[0].failures == ()


def test_a_test_that_does_not_fit_the_vocabulary_is_told_with_its_place():
    text = 'TEST "x" GIVEN message.contnt = "a" EXPECT tag("b")\nTEST "y" GIVEN message.size = 1 EXPECT tga("b")'
    made = run_tests(loaded(FULL), {"a.cases": text})
    assert isinstance(made, Rejected)
    assert 'did you mean "message.content"?' in made.render()
    assert 'did you mean "tag"?' in made.render()
    assert load({"a.rules": ""}, VOCABULARY, Shelf())


def test_actions_are_shown_as_a_rule_file_has_them():
    text = 'WHEN message.size > 1 THEN throttle("5/2m") PER message.sender.id, delay(90s), tag("a", "b\\"c"), '
    text += 'priority(-2), set(message.metadata["x y"], TRUE), set(message.metadata.k, 1.5), reply(message.sender.name)'
    rules = loaded(text)
    facts = {"message.size": 3, "message.sender.id": "u1"}
    shown = [written(action, VOCABULARY.scopes["routing"]) for action in rules.decide("routing", facts, NOON).actions]
    assert shown == [
        'throttle("5/2m") PER "u1"',
        "delay(90s)",
        'tag("a", "b\\"c")',
        "priority(-2)",
        'set(message.metadata["x y"], TRUE)',
        "set(message.metadata.k, 1.5)",
        "reply(MISSING)",
    ]
    told = explain(rules, "routing", facts, NOON).render()
    assert '  delay(90s) by "main.rules:1"' in told.splitlines()


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("0s", "0s"),
        ("500ms", "500ms"),
        ("60s", "1m"),
        ("90m", "90m"),
        ("24h", "1d"),
        ("36h", "36h"),
        ("1500ms", "1500ms"),
    ],
)
def test_a_duration_is_shown_in_the_largest_unit_that_leaves_no_rest(asked: str, shown: str):
    rules = loaded(f"WHEN message.size > 1 THEN delay({asked})")
    (action,) = rules.decide("routing", {"message.size": 3}, NOON).actions
    assert written(action, VOCABULARY.scopes["routing"]) == f"delay({shown})"


@pytest.mark.parametrize(
    ("expected", "passed"),
    [
        ("reply(message.sender.name)", True),
        ("reply(message.sender.id)", False),
        ('throttle("5/1m")', True),
        ('throttle("5/1m") PER message.sender.id', True),
        ('throttle("5/1m") PER message.sender.name', False),
    ],
)
def test_an_expected_action_may_read_from_the_message_as_a_rule_does(expected: str, passed: bool):
    given = 'GIVEN message.size = 3, message.sender.name = "Ann", message.sender.id = "u1"'
    rule = 'WHEN message.size > 1 THEN throttle("5/1m") PER message.sender.id, reply(message.sender.name)\n'
    (outcome,) = run_tests(loaded(f'{rule}TEST "t" {given} EXPECT {expected}'))
    assert (not outcome.failures) is passed


def test_formatting_writes_what_cannot_be_seen_as_escapes():
    text = 'RULE "a\\u0000b" NOTE "\\u2028\\ufeff" WHEN message.metadata["\\u0001"] == "\\u0000" THEN tag("x")\n'
    made = format_text(text)
    assert made == text.replace(" WHEN", "\nWHEN").replace(" THEN", "\nTHEN")
    assert format_text(made) == made
    assert [ref.name for ref in loaded(made).rules()] == ["a\0b"]
