"""The compiled engine against the plain meaning, on random rules and random messages."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import RuleRef, Ruleset, tables
from rules.decision import decision_of
from rules.interpret import holds
from rules.mismatch import readings
from rules.reread import Reader
from rules.values import GUARDS, raw
from tests.rules import generate
from tests.rules.language import NOON, STRUCT_VOCABULARY, Message, Sender, loaded


class Oracle:
    """The interpreter, rule after rule in rank order."""

    def __init__(self, ruleset: Ruleset) -> None:
        reader = Reader(ruleset)
        self.rules = [(ref, reader.read(ref).condition) for ref in ruleset.rules()]

    def matches(self, facts: Any) -> tuple[RuleRef, ...]:
        return tuple(ref for ref, condition in self.rules if holds(condition, facts, NOON))

    def mismatches(self, facts: Any) -> set[tuple[str, str]]:
        """Field and wanted type of every reading of a dynamic field that finds another type."""
        return {
            (reading.name, reading.wanted)
            for _, condition in self.rules
            for reading in readings(condition)
            if reading.keys and (found := raw(reading, facts)) is not None and GUARDS[reading.wanted](found) is None
        }

    def first(self, facts: Any) -> tuple[list[RuleRef], list[RuleRef]]:
        fired: list[RuleRef] = []
        shadows: list[RuleRef] = []
        for ref in self.matches(facts):
            (shadows if ref.shadow else fired).append(ref)
            if ref.stops and not ref.shadow:
                break
        return fired, shadows


def compare(ruleset: Ruleset, messages: list[Any]) -> None:
    oracle = Oracle(ruleset)
    for facts in messages:
        assert ruleset.matches("routing", facts, NOON) == oracle.matches(facts)
        decision = ruleset.decide("routing", facts, NOON)
        assert (list(decision.matched), list(decision.shadows)) == oracle.first(facts)


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_ten_random_rules_mean_what_they_say(seed: int):
    rng = Random(seed)
    rules = loaded("".join(generate.rule(rng, number) for number in range(10)))
    compare(rules, [generate.facts(rng) for _ in range(20)])


@pytest.mark.parametrize(("count", "messages"), [(1_000, 60), (10_000, 8)])
def test_many_random_rules_mean_what_they_say(count: int, messages: int):
    rng = Random(count)
    rules = loaded("".join(generate.rule(rng, number) for number in range(count)))
    compare(rules, [generate.facts(rng) for _ in range(messages)])


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_condition_and_its_negation_split_all_messages(seed: int):
    rng = Random(seed)
    condition = generate.condition(rng)
    rules = loaded(f'RULE "yes" WHEN {condition} THEN tag("y") CONTINUE RULE "no" WHEN NOT ({condition}) THEN tag("n")')
    for _ in range(20):
        names = [ref.name for ref in rules.matches("routing", generate.facts(rng), NOON)]
        assert names in (["yes"], ["no"])


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_attributes_are_read_like_the_keys_of_a_mapping(seed: int):
    rng = Random(seed)
    text = "".join(generate.rule(rng, number) for number in range(20))
    by_key, by_path = loaded(text), loaded(text, STRUCT_VOCABULARY)
    for _ in range(20):
        facts = whole(generate.facts(rng))
        expected = by_key.decide("routing", facts, NOON)
        assert by_path.decide("routing", message_of(facts), NOON) == expected


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_decision_that_was_kept_is_the_one_that_would_be_made_and_tells_every_wrong_type(seed: int):
    rng = Random(seed)
    rules = loaded("".join(generate.rule(rng, number) for number in range(10)))
    oracle, engine = Oracle(rules), rules.engines["routing"]
    for facts in [generate.facts(rng) for _ in range(20)] * 2:
        decision = rules.decide("routing", facts, NOON)
        fired, shadows = oracle.first(facts)
        matching = [engine.rules[rank] for rank in engine.every(facts, NOON)]
        matched = [ready for ready in matching if ready.ref in fired or ready.ref in shadows]
        assert decision == decision_of(matched, engine.otherwise, engine.origin, facts, decision.mismatches)
        assert {(found.field, found.wanted) for found in decision.mismatches} == oracle.mismatches(facts)
        assert decision.fixed == (not decision.mismatches)


def test_the_same_decision_is_handed_out_as_long_as_nothing_in_it_comes_from_the_message():
    rules = loaded(
        'RULE "tags" WHEN message.size > 3 THEN tag("big") CONTINUE\n'
        'RULE "old" WHEN message.metadata.age > 18 THEN drop("old")\n'
        'RULE "echo" WHEN message.type == "echo" THEN reply(message.content)\n'
    )

    def decided(**metadata: object) -> Any:
        facts = {"message.content": "x", "message.type": "", "message.size": 9, "message.metadata": metadata}
        return rules.decide("routing", facts, NOON)

    assert decided(age=20) is decided(age=30.5)
    assert decided() is decided(other="20")
    assert [found.found for found in decided(age="20").mismatches] == ["str"]
    assert decided(age="20") == decided(age="20")
    assert not decided(age=float("nan")).fixed
    echoes = {"message.type": "echo", "message.content": "hello"}
    assert rules.decide("routing", echoes, NOON).actions[0].args == {"text": "hello"}
    assert not rules.decide("routing", echoes, NOON).fixed


def test_facts_of_a_wrong_type_count_as_missing_and_raise_nothing():
    rules = loaded('WHEN message.content CONTAINS "a" OR message.size > 3 THEN tag("x")', STRUCT_VOCABULARY)
    wrong = Message(channel=3, type=None, content=7, sender=None, size="9", tags=None, metadata=[])  # type: ignore
    assert rules.decide("routing", wrong, NOON).actions == ()
    assert rules.decide("routing", None, NOON).actions == ()


def whole(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with every field that a message always has, in NFC."""
    from unicodedata import normalize

    texts = {field: normalize("NFC", facts.get(field) or "") for field in generate.TEXT_FIELDS}
    texts["message.sender.name"] = facts.get("message.sender.name")
    return texts | {
        "message.size": facts.get("message.size") or 0,
        "message.tags": facts.get("message.tags") or [],
        "message.sender.is_bot": bool(facts.get("message.sender.is_bot")),
        "message.metadata": facts.get("message.metadata") or {},
    }


def message_of(facts: dict[str, Any]) -> Message:
    name = facts["message.sender.name"]
    from unicodedata import normalize

    name = normalize("NFC", name) if name is not None else None
    sender = Sender(facts["message.sender.id"], name, facts["message.sender.is_bot"])
    return Message(
        facts["message.channel"],
        facts["message.type"],
        facts["message.content"],
        sender,
        facts["message.size"],
        facts["message.tags"],
        facts["message.metadata"],
    )


def test_patterns_that_are_too_much_for_one_set_are_searched_in_several(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "SET_MEMORY", 1_000_000)
    text = "".join(
        f'WHEN message.content MATCHES /^\\pL{{20}}[0-{n}]{{2}}$/ THEN tag("{n}") CONTINUE\n' for n in range(10)
    )
    rules = loaded(text)
    decision = rules.decide("routing", {"message.content": "ä" * 20 + "77"}, NOON)
    assert [action.args["name"] for action in decision.actions] == [("7",), ("8",), ("9",)]


@pytest.mark.parametrize("moment", [253_402_300_000.0, -62_135_596_800.0, 1e300, -1e300, float("nan"), float("inf")])
def test_a_moment_that_no_calendar_has_raises_nothing(moment: float):
    rules = loaded(
        'WHEN TIME IN 09:00..17:00 TZ "Asia/Tokyo" THEN tag("x") CONTINUE\n'
        'WHEN TIME IN 09:00..17:00 TZ "America/New_York" THEN tag("x") CONTINUE\n'
        'WHEN message.type == "x" THEN tag("y")'
    )
    (*_, last) = rules.decide("routing", {"message.type": "x"}, moment).actions
    assert last.args == {"name": ("y",)}
