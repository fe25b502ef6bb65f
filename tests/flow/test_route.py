"""Plans are kept beside the decisions they follow from, and only where nothing else speaks into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.daemon.rulefiles import FolderLoader
from gateway.flow.actions import ActionCall, Do
from gateway.flow.plan import Plan
from gateway.flow.route import Router
from gateway.flow.vocabulary import vocabulary
from gateway.message.envelope import Envelope
from gateway.message.message import Message, Sender
from gateway.notices import Notice, RuleFailed
from rules import ActionSpec, Rejected, Ruleset, load, reload

MESSAGE = Message(channel="chat", content="hello")
ENVELOPE = Envelope(id="e-1", message=MESSAGE, received_at=0.0, deadline=1.0)


class Greets:
    """An installed action that tags with what it was called for."""

    spec = ActionSpec(())

    def apply(self, call: ActionCall) -> list[Do]:
        return [Do("tag", {"names": (call.message.content,)})]


def ruleset(text: str, *pipelines: str) -> Ruleset:
    words = vocabulary(pipelines=pipelines, models=(), channels=(), more={"greet": Greets.spec})
    made = load({"main.rules": text}, words, FolderLoader(Path(), "UTC"))
    assert isinstance(made, Ruleset), made
    return made


def router(text: str, default: str = "", notices: list[Notice] | None = None) -> Router:
    report = notices.append if notices is not None else lambda notice: None
    return Router(ruleset(text, "a", "b"), default, report, lambda: 0.0, installed={"greet": Greets()})


def plan(router: Router, **message: Any) -> Plan:
    return router.plan(replace(ENVELOPE, message=replace(MESSAGE, **message)))


def test_messages_that_the_same_rules_match_share_one_plan() -> None:
    made = router('WHEN message.content == "hello" THEN route_to("a"), tag("seen")')
    assert plan(made) is plan(made, id="another")
    assert plan(made).actions == ('route_to("a")', 'tag("seen")')
    assert plan(made, content="bye").kind == "nothing"


def test_what_different_senders_are_counted_by_makes_no_different_decisions() -> None:
    made = router('WHEN message.content == "hello" THEN throttle("5/1m") PER message.sender.id, delay(90s)')
    shown = {plan(made, sender=Sender(id=name)).actions for name in ("ann", "bob")}
    assert shown == {('throttle("5/1m")', "delay(90s)")}


def test_an_edit_does_not_share_the_plan_of_a_new_message() -> None:
    made = router('WHEN message.content == "hello" THEN tag("seen")', default="b")
    assert plan(made).pipeline == "b"
    assert plan(made, action="edit").kind == "nothing"
    assert plan(made).pipeline == "b"


def test_a_message_that_was_set_aside_does_not_share_the_plan_of_one_that_comes_in() -> None:
    made = router('WHEN message.content == "hello" THEN delay(5s), route_to("a")')
    assert plan(made).kind == "delay"
    assert made.plan(replace(ENVELOPE, passed=True)).kind == "pipeline"
    assert plan(made).kind == "delay"


def test_a_rate_an_installed_action_and_what_cannot_be_done_are_asked_for_each_message() -> None:
    rated = router('WHEN message.type == "text" THEN throttle("1/1h") PER message.channel')
    assert [plan(rated).kind for _ in range(2)] == ["nothing", "reject"]
    notices: list[Notice] = []
    made = router('WHEN message.type == "text" THEN greet(), set(message.channel, "other")', notices=notices)
    assert [plan(made, content=text).tags for text in ("one", "two")] == [("one",), ("two",)]
    assert [type(notice) for notice in notices] == [RuleFailed, RuleFailed]


RATES = """
WHEN message.content == "hello" THEN throttle("1/1h"), route_to("a")
WHEN message.content == "ho" THEN throttle("1/1h"), route_to("b")
"""


def test_a_rate_stays_with_its_rule_when_lines_above_it_are_edited() -> None:
    rated = router(RATES)
    assert [plan(rated).kind for _ in range(2)] == ["pipeline", "reject"]
    edits = (
        "# a comment\n" + RATES,
        'WHEN message.content == "hey" THEN route_to("a")' + RATES,  # where the first one stood
        RATES.replace('\nWHEN message.content == "hello" THEN', '\nWHEN message.content == "hello"\n  THEN'),
    )
    for edit in edits:
        done = reload(rated.ruleset, {"main.rules": edit})
        assert not isinstance(done, Rejected)
        rated.ruleset = done.ruleset
        assert plan(rated).kind == "reject"
    assert [plan(rated, content="ho").kind for _ in range(2)] == ["pipeline", "reject"]
    rated.ruleset = ruleset(RATES.replace("1/1h", "2/1h"), "a", "b")
    assert plan(rated).kind == "pipeline", "another rate begins anew"


def test_two_rates_of_a_rule_are_counted_apart() -> None:
    both = 'throttle("2/1m") PER message.channel, throttle("3/1h") PER message.channel'
    rated = router(f'WHEN message.type == "text" THEN {both}')
    assert [plan(rated).kind for _ in range(3)] == ["nothing", "nothing", "reject"]


def test_false_and_nought_are_counted_apart_from_what_is_missing() -> None:
    rated = router('WHEN message.type == "text" THEN throttle("1/1h") PER message.metadata.x')
    said = [plan(rated, metadata=given).kind for given in ({"x": 0}, {"x": False}, {}, {"x": 0})]
    assert said == ["nothing", "nothing", "nothing", "reject"]


def test_other_rules_make_other_plans() -> None:
    made = router('WHEN message.content == "hello" THEN route_to("a")')
    assert plan(made).pipeline == "a"
    made.ruleset = ruleset('WHEN message.content == "hello" THEN route_to("b")', "a", "b")
    assert plan(made).pipeline == "b"
