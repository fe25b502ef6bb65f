"""A reload gives what a fresh load of the same files gives, and says what changed."""

from __future__ import annotations

import sys
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules import Rejected, Reloaded, Ruleset, Vocabulary, explain, load, reload, run_tests
from rules.reread import Reader
from tests.rules import generate
from tests.rules.language import NOON, VOCABULARY, Shelf, acts, loaded

PAIR = 'RULE "a" WHEN message.type == "x" THEN tag("1")\nRULE "b" WHEN message.type == "y" THEN tag("2")\n'


def reloaded(old: Ruleset, text: str) -> Reloaded:
    made = reload(old, {"main.rules": text})
    assert isinstance(made, Reloaded), made.render()
    return made


def edited(rng: Random, chunks: list[str]) -> list[str]:
    chunks = list(chunks)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(chunks))
        match rng.randint(0, 7):
            case 7:
                chunks[place] = "CONTINUE " + chunks[place]
            case 6 if rng.random() < 0.2:
                at = rng.randrange(len(chunks[place]))
                chunks[place] = chunks[place][:at] + rng.choice(['"', "", "WHEN", "(", "tga"]) + chunks[place][at + 1 :]
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


def statement(rng: Random, number: int) -> str:
    """A rule, often one without a name, or now and then something else that stands in a rule file."""
    match rng.randint(0, 13):
        case 12:
            return f'LET l{number} = ["x"]\n'
        case 13:
            return f'RULE "d{number}" DISABLED WHEN message.type == "x" THEN tag("d")\n'
        case 0:
            return f'TEST "t{number}" GIVEN message.type = "x" EXPECT NO RULE\n'
        case 1:
            return f'RULESET "models"\n  WHEN input CONTAINS "w{number}" THEN use_model("default_model")\nEND\n'
        case 2 | 3:
            return f'WHEN message.type == "x{number}" OR message.content CONTAINS "w{number % 4}" THEN tag("u")\n'
        case _:
            return generate.rule(rng, number)


def edited_files(rng: Random, files: dict[str, list[str]]) -> dict[str, list[str]]:
    files = {name: list(chunks) for name, chunks in files.items()}
    match rng.randint(0, 7):
        case 0 if len(files) > 1:
            del files[rng.choice(sorted(files))]
        case 1:
            files[f"{rng.randrange(100)}.rules"] = [statement(rng, rng.randrange(100_000, 900_000)) for _ in range(3)]
        case _:
            name = rng.choice(sorted(files))
            files[name] = edited(rng, files[name])
    return files


def joined(files: dict[str, list[str]]) -> dict[str, str]:
    return {name: "".join(chunks) for name, chunks in files.items()}


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_edits_one_after_the_other_give_what_a_fresh_load_gives(monkeypatch: pytest.MonkeyPatch, seed: int):
    rng = Random(seed)
    monkeypatch.setattr(sys.modules["rules.load"], "BLOCK", rng.choice([1, 3, 256]))
    names = ("a.rules", "main.rules", "z.rules")[: rng.randint(1, 3)]
    files = {
        name: [statement(rng, 100 * file + rule) for rule in range(rng.randint(1, 25))]
        for file, name in enumerate(names)
    }
    rules = fresh(joined(files))
    for _ in range(5):
        wanted = edited_files(rng, files)
        made = reload(rules, joined(wanted))
        again = load(joined(wanted), VOCABULARY, Shelf())
        if isinstance(again, Rejected):
            assert made == again
            continue
        files = wanted
        assert isinstance(made, Reloaded)
        if rng.random() < 0.7:
            rules.retire(made.ruleset)
        rules = made.ruleset
        same(rng, rules, again)


def fresh(files: dict[str, str]) -> Ruleset:
    made = load(files, VOCABULARY, Shelf())
    assert isinstance(made, Ruleset)
    return made


def same(rng: Random, rules: Ruleset, again: Ruleset) -> None:
    assert rules.rules() == again.rules()
    assert rules.sources == again.sources
    assert run_tests(rules) == run_tests(again)
    for _ in range(6):
        facts = generate.facts(rng)
        for ruleset in ("routing", "models"):
            assert rules.matches(ruleset, facts, NOON) == again.matches(ruleset, facts, NOON)
            assert rules.decide(ruleset, facts, NOON) == again.decide(ruleset, facts, NOON)


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


def test_a_rule_without_a_name_that_is_edited_in_its_place_has_changed():
    first, second = 'WHEN message.size > 1 THEN tag("1")\n', 'WHEN message.size > 2 THEN tag("2")\n'
    edited = reloaded(loaded(first + second), first.replace("1", "7") + second)
    assert (edited.added, edited.removed, [ref.name for ref in edited.changed]) == ((), (), ["main.rules:1"])
    shorter = reloaded(loaded(first + second), second)
    assert (shorter.added, [ref.name for ref in shorter.removed], shorter.changed) == ((), ["main.rules:1"], ())


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


@pytest.mark.parametrize(
    "condition",
    [r"message.content MATCHES /[a-z]+\d/", 'message.content CONTAINS "z1"', 'message.content STARTS WITH "z"'],
)
def test_a_condition_whose_rules_are_gone_matches_nothing_and_raises_nothing(condition: str):
    gone = "".join(f'RULE "{number}" WHEN {condition} THEN tag("x")\n' for number in range(2))
    more = "".join(
        f'WHEN message.content MATCHES /\\d[a-z]{{{n}}}/ OR message.content CONTAINS "w{n}" THEN tag("y")\n'
        for n in range(1, 10)
    )
    made = reloaded(loaded(PAIR + gone + more), PAIR + more)
    assert made.ruleset.matches("routing", {"message.content": "z1"}, NOON) == ()
    assert made.ruleset.decide("routing", {"message.content": "z1"}, NOON).actions == ()


@pytest.mark.parametrize(
    "text",
    [
        PAIR + 'RULE "c" WHEN message.size > 1 THEN tag("3")',
        'RULE "c" WHEN message.size > 1 THEN tag("3")\n' + PAIR,
        PAIR.replace("RULE", "# why\n\nRULE").replace('"2"', '"3"'),
        PAIR.splitlines()[0],
        PAIR.splitlines()[1],
        "",
        "# nothing\n",
    ],
)
def test_an_edit_of_rules_loads_nothing_anew(monkeypatch: pytest.MonkeyPatch, text: str):
    rules = loaded(PAIR)
    monkeypatch.setattr("rules.reloading.load", None)
    made = reloaded(rules, text)
    monkeypatch.undo()
    assert made.ruleset.rules() == loaded(text).rules()
    assert reloaded(made.ruleset, PAIR).ruleset.rules() == loaded(PAIR).rules()


@pytest.mark.parametrize("edit", ['"1"', '"2"', '"3"', '"m"', 'RULE "a"', 'RULE "c"', "RULESET", "WHEN input", "END"])
def test_beside_a_let_or_a_ruleset_an_edit_of_rules_loads_nothing_anew_either(
    monkeypatch: pytest.MonkeyPatch, edit: str
):
    text = 'LET x = ["x"]\n' + PAIR + 'RULESET "models"\nWHEN input == "a" THEN use_model("default_model")\nEND\n'
    text += 'RULE "c" WHEN message.type IN x THEN tag("3")\nRULE "m" WHEN message.size > 3 THEN tag("m")\n'
    if edit.startswith('"'):
        wanted = text.replace(f"tag({edit})", 'tag("else")')
    else:
        wanted = text.replace(edit, 'RULE "new" WHEN message.type == "n" THEN tag("n")\n' + edit, 1)
    rules = loaded(text)
    monkeypatch.setattr("rules.reloading.load", None)
    made = reloaded(rules, wanted)
    monkeypatch.undo()
    assert made.ruleset.rules() == loaded(wanted).rules()
    assert len(made.added + made.changed) == 1


def test_a_rule_that_was_pushed_down_is_named_where_it_stands_now():
    text = "".join(f'WHEN message.type == "t{number}" THEN tag("x") CONTINUE\n' for number in range(600))
    text += 'OTHERWISE drop("o")\n'
    rules = loaded(text)
    for number in range(1, 4):
        text = f'WHEN message.type == "new{number}" THEN tag("y")\n\n' + text
        made = reloaded(rules, text)
        assert [ref.name for ref in made.added] == ["main.rules:1"]
        rules = made.ruleset
    (matched,) = rules.matches("routing", {"message.type": "t599"}, NOON)
    assert (matched.name, matched.line) == ("main.rules:606", 606)
    assert explain(rules, "routing", {"message.type": "t599"}, NOON).decision.actions[-1].rule.line == 607


def test_a_file_that_comes_or_goes_costs_its_own_rules(monkeypatch: pytest.MonkeyPatch):
    rules = load({"main.rules": PAIR}, VOCABULARY, Shelf())
    assert isinstance(rules, Ruleset)
    monkeypatch.setattr("rules.reloading.load", None)  # nothing is loaded anew
    third = 'RULE "c" WHEN message.type == "y" THEN tag("3")\nTEST "t" GIVEN message.type = "y" EXPECT RULE "c"\n'
    came = reload(rules, {"a.rules": third, "main.rules": PAIR})
    assert isinstance(came, Reloaded)
    assert [ref.name for ref in came.added] == ["c"]
    assert [ref.name for ref in came.ruleset.rules()] == ["c", "a", "b"]
    outcomes = run_tests(came.ruleset)
    assert isinstance(outcomes, list)
    assert [one.failures for one in outcomes] == [()]
    went = reload(came.ruleset, {"a.rules": third})
    assert isinstance(went, Reloaded)
    assert [ref.name for ref in went.removed] == ["a", "b"]
    assert [ref.name for ref in went.ruleset.rules()] == ["c"]


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


def test_rules_that_ask_for_the_same_list_share_it():
    shelf = Shelf({"deny.txt": ("e\u0301", "b")})
    text = 'LET deny = FILE "deny.txt"\n'
    text += 'WHEN message.sender.id IN deny AND message.type == "x" THEN tag("1") CONTINUE\n'
    text += 'WHEN message.sender.id NOT IN FILE "deny.txt" THEN tag("2")\n'
    made = load({"main.rules": text}, VOCABULARY, shelf)
    assert isinstance(made, Ruleset)
    reader = Reader(made)
    both, inverse = (reader.read(ref).condition for ref in made.rules())
    assert both.items[0].value is inverse.item.value
    assert acts(made, {"message.sender.id": "\u00e9", "message.type": "x"}) == ["tag(('1',))"]
    assert acts(made, {"message.sender.id": "c", "message.type": "x"}) == ["tag(('2',))"]


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


def test_rules_are_not_compiled_anew_because_more_pipelines_exist(monkeypatch: pytest.MonkeyPatch):
    rules, more = loaded(PAIR), {**VOCABULARY.names, "pipelines": VOCABULARY.names["pipelines"] | {"new"}}
    monkeypatch.setattr("rules.reloading.load", None)
    words = Vocabulary(VOCABULARY.scopes, more)
    made = reload(rules, {"main.rules": PAIR + 'WHEN message.size > 1 THEN route_to("new")'}, words)
    assert isinstance(made, Reloaded)
    assert made.ruleset.vocabulary == words
    monkeypatch.undo()
    refused = reload(made.ruleset, made.ruleset.sources, VOCABULARY)
    assert isinstance(refused, Rejected)
    assert "new" in refused.render()


@pytest.mark.parametrize("head", ["", 'LET x = ["x"]\n'], ids=["an edit", "all anew"])
def test_an_edit_that_never_serves_is_taken_apart_and_leaves_the_rules_whole(head: str):
    old = loaded(PAIR)
    made = reloaded(old, head + PAIR.replace('"1"', '"3"'))
    made.ruleset.discard(old)
    assert made.ruleset.decide("routing", {"message.type": "x"}, NOON).actions == ()
    for kind in "xy":
        assert old.decide("routing", {"message.type": kind}, NOON).actions
    assert reloaded(old, PAIR.replace('"2"', '"3"')).changed
