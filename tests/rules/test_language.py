"""What rules mean, by example."""

from __future__ import annotations

from tests.rules.language import NOON, acts, loaded

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
