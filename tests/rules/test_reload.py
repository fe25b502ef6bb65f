"""A reload gives what a fresh load of the same files gives, and says what changed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import Rejected, Reloaded, Ruleset, load, reload
from tests.rules import generate
from tests.rules.language import NOON, VOCABULARY, Shelf, loaded

PAIR = 'RULE "a" WHEN message.type == "x" THEN tag("1")\nRULE "b" WHEN message.type == "y" THEN tag("2")\n'


def reloaded(old: Ruleset, text: str) -> Reloaded:
    made = reload(old, {"main.rules": text})
    assert isinstance(made, Reloaded), made.render()
    return made


def edited(rng: Random, chunks: list[str]) -> list[str]:
    chunks = list(chunks)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(chunks))
        match rng.randint(0, 5):
            case 0:
                chunks.insert(place, generate.rule(rng, rng.randrange(100_000, 900_000)))
            case 1:
                del chunks[place : place + rng.randint(1, 2)]
            case 2:
                chunks[place] = generate.rule(rng, rng.randrange(100_000, 900_000))
            case 3:
                chunks[place] = "# a comment\n\n" + chunks[place]
            case 4:
                chunks[place] = chunks[place].rstrip() + " # more\n"
            case _:
                chunks[place] = chunks[place].replace("THEN", "\nTHEN")
        chunks = chunks or [generate.rule(rng, 1)]
    return chunks


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_edits_one_after_the_other_give_what_a_fresh_load_gives(seed: int):
    rng = Random(seed)
    chunks = [generate.rule(rng, number) for number in range(rng.randint(1, 25))]
    rules = loaded("".join(chunks))
    for _ in range(4):
        chunks = edited(rng, chunks)
        rules = reloaded(rules, "".join(chunks)).ruleset
        fresh = loaded("".join(chunks))
        assert rules.rules() == fresh.rules()
        for _ in range(6):
            facts = generate.facts(rng)
            assert rules.matches("routing", facts, NOON) == fresh.matches("routing", facts, NOON)
            assert rules.decide("routing", facts, NOON) == fresh.decide("routing", facts, NOON)


@pytest.mark.parametrize(
    ("text", "added", "removed", "changed"),
    [
        (PAIR, [], [], []),
        ("\n\n" + PAIR, [], [], []),
        (PAIR.replace('"2"', '"3"'), [], [], ["b"]),
        (PAIR.replace('"1")', '"1") CONTINUE'), [], [], ["a"]),
        (PAIR + 'RULE "c" WHEN message.size > 1 THEN tag("3")', ["c"], [], []),
        (PAIR.replace('RULE "a"', 'RULE "z"'), ["z"], ["a"], []),
        ("", [], ["a", "b"], []),
        ('LET x = ["q"]\n' + PAIR.replace('== "y"', "IN x"), [], [], ["b"]),
    ],
)
def test_a_reload_says_what_changed(text: str, added: list[str], removed: list[str], changed: list[str]):
    made = reloaded(loaded(PAIR), text)
    names = [[ref.name for ref in refs] for refs in (made.added, made.removed, made.changed)]
    assert names == [added, removed, changed]


def test_a_wrong_edit_leaves_the_old_rules_as_they_were():
    rules = loaded(PAIR)
    wrong = reload(rules, {"main.rules": PAIR.replace("tag", "tga")})
    assert isinstance(wrong, Rejected)
    assert len(wrong.problems) == 2
    assert isinstance(reload(rules, {"main.rules": PAIR + "WHEN"}), Rejected)
    twice = reload(rules, {"main.rules": PAIR + PAIR})
    assert isinstance(twice, Rejected)
    assert 'two rules are called "a"' in twice.render()
    assert [ref.name for ref in rules.matches("routing", {"message.type": "x"}, NOON)] == ["a"]


def test_a_list_that_changed_is_read_again():
    shelf = Shelf({"words": ("one",)})
    text = {"main.rules": 'WHEN message.content CONTAINS ANY FILE "words" THEN tag("x")'}
    rules = load(text, VOCABULARY, shelf)
    assert isinstance(rules, Ruleset)
    shelf.lists["words"] = ("two",)
    made = reload(rules, text)
    assert isinstance(made, Reloaded)
    assert made.ruleset.matches("routing", {"message.content": "two"}, NOON)
    assert not rules.matches("routing", {"message.content": "two"}, NOON)


def test_a_list_that_an_edit_brought_in_is_read_again_when_it_changes():
    shelf = Shelf({"words": ("one",)})
    text = {"main.rules": PAIR + 'WHEN message.content CONTAINS ANY FILE "words" THEN tag("x")'}
    rules = load({"main.rules": PAIR}, VOCABULARY, shelf)
    assert isinstance(rules, Ruleset)
    edited = reload(rules, text)
    assert isinstance(edited, Reloaded)
    shelf.lists["words"] = ("two",)
    again = reload(edited.ruleset, text)
    assert isinstance(again, Reloaded)
    assert again.ruleset.matches("routing", {"message.content": "two"}, NOON)


def test_a_retired_ruleset_leaves_its_successor_whole():
    other = 'RULESET "models" WHEN input CONTAINS "@" THEN use_model("default_model") END'
    old = load({"main.rules": PAIR, "other.rules": other}, VOCABULARY, Shelf())
    assert isinstance(old, Ruleset)
    made = reload(old, {"main.rules": PAIR.replace('"2"', '"3"'), "other.rules": other})
    assert isinstance(made, Reloaded)
    old.retire(made.ruleset)
    assert made.ruleset.matches("routing", {"message.type": "x"}, NOON)
    assert made.ruleset.decide("models", {"input": "@"}, NOON).actions
    assert isinstance(reload(made.ruleset, {"main.rules": PAIR, "other.rules": other}), Reloaded)
    assert old.decide("routing", {"message.type": "x"}, NOON).actions == ()
