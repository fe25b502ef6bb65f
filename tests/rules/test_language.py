"""What rules mean, by example."""

from __future__ import annotations

from rules import FieldRef, Rate, Reloaded, Ruleset, load, reload
from tests.rules.language import NOON, VOCABULARY, Shelf, acts, loaded

FULL = """
LET vips = ["alice@example.org", "bob@example.org"]
LET office_hours = TIME IN 09:00..17:30 ON MON-FRI TZ "Europe/London"

RULE "vip after hours" PRIORITY 100
WHEN message.sender.id IN vips AND NOT $office_hours
THEN tag("vip"), forward("oncall") CONTINUE

RULE "spam, on trial" SHADOW NOTE "until 1 Dec"
WHEN message.content MATCHES /(?i)free\\s+money/ OR message.content CONTAINS ANY FILE "spam.txt"
THEN reject("spam")

RULESET "models"
  WHEN LENGTH(input) > 1024   THEN use_model("long_context_model")
  WHEN input CONTAINS "@"     THEN use_model("email_processing_model")
  OTHERWISE                        use_model("default_model")
END

TEST "an ordinary text gets the default model"
  GIVEN message.channel = "imessage", message.type = "text", message.content = "hi"
  EXPECT use_model("default_model")
  EXPECT NOT reject("spam")
"""


def test_the_rule_of_the_description_routes():
    rules = loaded(
        'WHEN message.channel == "imessage"\nAND message.type == "text"\nTHEN route_to("text_processing_pipeline")'
    )
    facts = {"message.channel": "imessage", "message.type": "text"}
    assert acts(rules, facts) == ["route_to(text_processing_pipeline)"]
    assert acts(rules, facts | {"message.type": "image"}) == []


def test_the_fuller_file_works_as_written():
    rules = loaded(FULL)
    assert acts(rules, {"input": "x" * 1025}, name="models") == ["use_model(long_context_model)"]
    assert acts(rules, {"input": "a@b"}, name="models") == ["use_model(email_processing_model)"]
    assert acts(rules, {}, name="models") == ["use_model(default_model)"]
    vip = {"message.sender.id": "alice@example.org", "message.content": "Free  money"}
    assert acts(rules, vip) == []
    assert acts(rules, vip, at=NOON + 7 * 3600) == ["tag(('vip',))", "forward(oncall)"]
    assert [ref.name for ref in rules.decide("routing", vip, NOON).shadows] == ["spam, on trial"]


def test_count_counts_whatever_a_list_holds():
    rules = loaded('WHEN COUNT(message.tags) > 1 AND message.tags NOT CONTAINS "x" IGNORING CASE THEN tag("many")')
    assert acts(rules, {"message.tags": [{"mime": "image/png"}, 3]}) == ["tag(('many',))"]
    assert acts(rules, {"message.tags": [{"mime": "image/png"}, "X"]}) == []


def test_a_window_past_midnight_belongs_to_the_day_it_begins_on():
    rules = loaded('WHEN TIME IN 22:00..06:00 ON MON THEN tag("night")')
    hours = [hour for hour in range(48) if acts(rules, {}, at=NOON + hour * 3600)]
    assert hours == list(range(10, 18))


def test_of_several_terminal_actions_the_highest_ranked_counts():
    rules = loaded(
        'RULE "low" WHEN message.size > 1 THEN drop("no"), tag("a") CONTINUE\n'
        'RULE "high" PRIORITY 5 WHEN message.size > 2 THEN reply(message.sender.name) CONTINUE\n'
        'OTHERWISE tag("end")'
    )
    decision = rules.decide("routing", {"message.size": 3, "message.sender.name": "Ann"}, NOON)
    assert [action.name for action in decision.actions] == ["reply", "tag", "tag"]
    assert decision.actions[0].args == {"text": "Ann"}
    assert [(lost.name, lost.rule.name) for lost in decision.conflicts] == [("drop", "low")]
    assert decision.stopped is None


def test_mode_all_goes_on_unless_told_to_stop():
    rules = loaded(
        'RULESET "models" MODE ALL WHEN message.size > 1 THEN tag("a") '
        'WHEN message.size > 2 THEN tag("b") STOP WHEN message.size > 1 THEN tag("c") OTHERWISE tag("d") END'
    )
    assert acts(rules, {"message.size": 2}, name="models") == ["tag(('a',))", "tag(('c',))", "tag(('d',))"]
    assert acts(rules, {"message.size": 3}, name="models") == ["tag(('a',))", "tag(('b',))"]


def test_a_mode_is_the_rulesets_whichever_of_its_blocks_and_files_says_it():
    early = 'RULESET "models"\n  WHEN input CONTAINS "a" THEN tag("1")\n  WHEN input CONTAINS "a" THEN tag("2") STOP\n'
    late = '  WHEN input CONTAINS "a" THEN tag("3")\nEND\n'
    files = {"a.rules": early + late, "b.rules": 'RULESET "models" MODE ALL\nEND\n'}
    made = load(files, VOCABULARY, Shelf())
    assert isinstance(made, Ruleset)
    assert [ref.stops for ref in made.rules()] == [False, True, False]
    assert acts(made, {"input": "a"}, name="models") == ["tag(('1',))", "tag(('2',))"]
    edited = reload(made, files | {"a.rules": early.replace('tag("1")', 'tag("9")') + late})
    assert isinstance(edited, Reloaded)
    assert [ref.stops for ref in edited.ruleset.rules()] == [False, True, False]


def test_arguments_arrive_typed():
    rules = loaded(
        'WHEN message.size > 1 THEN throttle("5/1m") PER message.sender.id, delay(2h), '
        'set(message.metadata["a b"], message.size)'
    )
    rate, delay, put = rules.decide("routing", {"message.size": 3, "message.sender.id": "u"}, NOON).actions
    assert (rate.args["rate"], rate.per) == (Rate(5, 60.0), "u")
    assert delay.args == {"duration": 7200.0}
    assert put.args == {"field": FieldRef("message.metadata", ("a b",)), "value": 3}


def test_a_character_beyond_uffff_may_be_written_as_two_escapes_as_in_json():
    rules = loaded('WHEN message.content CONTAINS "\\ud83d\\ude00" THEN reply("\\uD83D\\uDE00!")')
    assert acts(rules, {"message.content": "ha 😀"}) == ["reply(😀!)"]


def test_a_pattern_that_ignores_case_finds_letters_that_fold_to_several():
    rules = loaded('WHEN message.content MATCHES /straße$/ IGNORING CASE THEN tag("x")')
    found = [text for text in ("straße", "STRAẞE", "strasse") if acts(rules, {"message.content": text})]
    assert found == ["straße", "STRAẞE"]


def test_an_action_that_is_called_like_a_keyword_may_stand_apart_from_its_arguments():
    rules = loaded("WHEN message.size > 1 THEN priority  # high\n ( 2 )")
    assert acts(rules, {"message.size": 2}) == ["priority(2)"]
