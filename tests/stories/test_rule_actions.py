"""Every action of the rules, in the whole flow: what it does, what it leaves alone, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import trio

from gateway.daemon.ruledesk import series
from gateway.flow.actions import ActionCall, Do
from gateway.flow.vocabulary import vocabulary
from gateway.journal import Memory
from gateway.notices import EnvelopeRejected, EnvelopeRouted, EnvelopeSettled, RuleFailed, RuleMismatch
from gateway.ports import ModelAnswer, ModelCall
from rules import ActionSpec, Param, Ruleset, load
from tests.support.story import Story, gateway


class Says:
    """A model that answers with its own name."""

    def __init__(self, text: str) -> None:
        self.text = text

    def answer(self, call: ModelCall) -> ModelAnswer:
        return ModelAnswer(text=self.text)

    def stream(self, call: ModelCall) -> Any:
        raise NotImplementedError


def count(story: Story, rule: str, ruleset: str = "routing") -> Any:
    return story.staging.memory.counters.rules[ruleset, rule]


async def test_set_and_tag_are_seen_by_the_pipeline_and_the_next_ruleset_and_not_by_their_own(
    autojump_clock: Any,
) -> None:
    seen: list[ModelCall] = []

    class Sees(Says):
        def answer(self, call: ModelCall) -> ModelAnswer:
            seen.append(call)
            return ModelAnswer(text=call.turns[-1].text)

    rules = """
    RULE "mark" WHEN message.content == "hi"
    THEN tag("vip"), set(message.metadata.lane.kind, "fast"), set(input, "HI") CONTINUE
    RULE "own" WHEN message.tags CONTAINS "vip" OR message.metadata.lane.kind == "fast" THEN drop("saw its own mark")
    RULESET "models"
      RULE "next" WHEN message.tags CONTAINS "vip" AND message.metadata.lane.kind == "fast" THEN use_model("sees")
    END
    """
    models: Any = {"sees": Sees("")}
    async with gateway(
        rules=rules, pipelines={"p": "pipeline: [{name: x}]"}, models=models, default_pipeline="p"
    ) as story:
        await story.receives("hi")
        await story.settles()
        assert story.sent() == ["HI"]
        assert len(seen) == 1
        assert count(story, "next", "models").matched == 1
        assert ("routing", "own") not in story.staging.memory.counters.rules


async def test_a_step_that_names_no_model_takes_what_routing_chose_unless_models_says_otherwise(
    autojump_clock: Any,
) -> None:
    rules = """
    WHEN message.sender.id == "ann" THEN use_model("one") CONTINUE
    RULESET "models" WHEN input CONTAINS "@" THEN use_model("two") END
    """
    models: Any = {"one": Says("one"), "two": Says("two")}
    spec = {"p": "pipeline: [{name: x}]", "fixed": "pipeline: [{name: x, model: echo}]"}
    async with gateway(rules=rules, pipelines=spec, models=models, default_pipeline="p") as story:
        await story.receives("hi", sender="ann")
        await story.receives("me@there", sender="ann")
        await story.settles()
        assert story.sent() == ["one", "two"]


async def test_a_delay_survives_a_crash_and_then_the_rest_is_done(autojump_clock: Any) -> None:
    rules = 'WHEN message.content == "later" THEN delay(2h), tag("late"), forward("oncall"), reply("now it is time")'
    memory = Memory()
    async with gateway(memory=memory, rules=rules) as story:
        envelope = await story.receives("later")
        await story.settles()
        assert await story.state(envelope) == "delayed"
        assert (story.sent(), story.sent(channel="oncall")) == ([], [])
        memory.crash()
    async with gateway(memory=memory, rules=rules) as story:
        assert await story.state(envelope) == "delayed"
        await trio.sleep(2 * 3600 + 1)
        await story.settles()
        assert (story.sent(), story.sent(channel="oncall")) == (["now it is time"], ["later"])
        assert await story.state(envelope) == "done"


async def test_a_rule_that_matches_by_then_holds_what_comes_back_from_a_delay(autojump_clock: Any) -> None:
    async with gateway(rules='RULE "night" WHEN message.content == "later" THEN delay(1h)') as story:
        envelope = await story.receives("later")
        await story.settles()
        assert await story.state(envelope) == "delayed"
        router = story.staging.router
        assert router is not None
        by_day = 'RULE "day" WHEN message.content == "later" THEN delay(1h), hold("look at it")'
        router.ruleset = replaced(router.ruleset, by_day)
        await trio.sleep(3601)
        await story.settles()
        assert await story.state(envelope) == "held"
        assert await story.flow.recovery.readmit(envelope, "released by an operator")
        await story.settles()
        assert story.sent() == ["later"]
        # Neither the hour of the delay nor the person's is the gateway's own time.
        assert max(settled.gateway_seconds for settled in story.reported(EnvelopeSettled)) < 60


async def test_a_refusal_goes_before_a_delay(autojump_clock: Any) -> None:
    rules = """
    RULE "a" WHEN message.content == "x" THEN delay(2h) CONTINUE
    RULE "b" WHEN message.type == "text" THEN reject("no")
    """
    async with gateway(rules=rules) as story:
        envelope = await story.receives("x")
        await story.settles()
        assert await story.state(envelope) == "rejected"


async def test_a_held_message_keeps_its_place_in_the_rate_and_goes_where_the_rules_say_when_released(
    autojump_clock: Any,
) -> None:
    rules = """
    RULE "rate" WHEN message.type == "text" THEN throttle("1/1h") PER message.sender.id CONTINUE
    RULE "look" WHEN message.content == "odd" THEN hold("look at it") CONTINUE
    RULE "answer" WHEN message.content == "odd" THEN reply("seen")
    """
    async with gateway(rules=rules) as story:
        envelope = await story.receives("odd")
        await story.settles()
        assert await story.state(envelope) == "held"
        assert await story.flow.recovery.readmit(envelope, "released by an operator")
        await story.settles()
        assert story.sent() == ["seen"]
        again = await story.receives("again")
        await story.settles()
        assert await story.state(again) == "rejected"
        assert story.reported(EnvelopeRejected)[-1].why == "throttled"


async def test_a_rate_and_the_counts_outlive_a_reload_of_the_rules(autojump_clock: Any) -> None:
    rules = 'RULE "rate" WHEN message.type == "text" THEN throttle("1/1h") PER message.sender.id'
    async with gateway(rules=rules) as story:
        await story.receives("one")
        await story.settles()
        router = story.staging.router
        assert router is not None
        router.ruleset = replaced(router.ruleset, rules + '\nRULE "more" WHEN message.content == "x" THEN drop("x")')
        await story.receives("two")
        await story.settles()
        assert story.sent() == ["one"]
        assert count(story, "rate").matched == 2


async def test_conflicts_shadows_and_wrong_types_are_counted_by_rule_and_exposed_with_a_bound(
    autojump_clock: Any,
) -> None:
    rules = """
    RULE "first" WHEN message.content == "x" THEN reply("first") CONTINUE
    RULE "second" WHEN message.content == "x" THEN drop("second") CONTINUE
    RULE "trial" SHADOW WHEN message.content == "x" THEN reject("trial")
    RULE "typed" WHEN message.metadata.age > 3 THEN drop("x")
    """
    async with gateway(rules=rules) as story:
        await story.receives("x", metadata={"age": "old"})
        await story.settles()
        assert story.sent() == ["first"]
        assert (count(story, "second").conflicts, count(story, "trial").shadowed) == (1, 1)
        assert (count(story, "typed").mismatches, count(story, "first").last_match > 0) == (1, True)
        assert [notice.rule for notice in story.reported(RuleMismatch)] == ["typed"]
        exposed = series(story.staging.memory.counters.rules)
        assert exposed["routing", "trial", "shadow"] == exposed["routing", "second", "conflict"] == 1
        many = {("routing", f"r{number}"): count(story, "first") for number in range(1000)}
        assert len(series(many)) == 201
        assert series(many)["routing", "(others)", "matched"] == 800


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("priority(message.metadata.n)", "arguments do not fit"),
        ('set(message.channel, "other")', "stays"),
        ("set(message.content, 3)", "is text"),
    ],
)
async def test_an_action_that_cannot_be_done_is_counted_and_the_others_are_done(
    action: str, why: str, autojump_clock: Any
) -> None:
    async with gateway(rules=f'RULE "r" WHEN message.content == "x" THEN {action}, reply("still")') as story:
        await story.receives("x")
        await story.settles()
        assert story.sent() == ["still"]
        assert count(story, "r").errors == 1
        assert why in story.reported(RuleFailed)[0].why


async def test_a_text_read_from_a_message_that_lacks_it_is_empty_and_the_message_survives(autojump_clock: Any) -> None:
    async with gateway(rules='WHEN message.content == "x" THEN reject(message.metadata.why)') as story:
        envelope = await story.receives("x")
        await story.settles()
        assert await story.state(envelope) == "rejected"


async def test_priority_and_deadline_travel_with_the_envelope(autojump_clock: Any) -> None:
    rules = 'WHEN message.content == "x" THEN priority(7), deadline(5s), route_to("echo")'
    async with gateway(rules=rules) as story:
        await story.receives("x")
        await story.settles()
        assert story.reported(EnvelopeRouted)[0].pipeline == "echo"
        stages = story.flow.walker.stages
        from gateway.message.envelope import Envelope

        envelope = Envelope(id="e", message=story.message("x"), received_at=10.0, deadline=10.2)
        applied = stages.route(envelope).applied(envelope)
        assert (applied.priority, applied.deadline) == (7, 15.0)


class Escalate:
    """An installed action: it tags, and from level 2 on it tells the people on call."""

    spec = ActionSpec((Param("level", "number"),), about="tell the people on call")

    def apply(self, call: ActionCall) -> Iterable[Do]:
        if call.args["level"] > 10:
            raise asyncio.CancelledError
        if call.args["level"] > 9:
            raise SystemExit("no such level at all")
        if call.args["level"] > 8:
            raise RuntimeError("no such level")
        yield Do("tag", {"names": ("escalated",)})
        if call.args["level"] > 1:
            yield Do("forward", {"channel": "oncall" if call.args["level"] < 5 else "nowhere"})


async def test_an_installed_action_says_which_of_the_gateways_actions_are_done(autojump_clock: Any) -> None:
    rules = 'RULE "e" WHEN message.type == "text" THEN escalate({level})'
    actions: Any = {"escalate": Escalate()}
    async with gateway(rules=rules.format(level=2), actions=actions) as story:
        await story.receives("fire")
        await story.settles()
        assert (story.sent(), story.sent(channel="oncall")) == (["fire"], ["fire"])
    refused = (
        (11, "CancelledError"),
        (10, "SystemExit: no such level at all"),
        (9, "RuntimeError: no such level"),
        (6, 'no "nowhere" among the channels'),
    )
    for level, why in refused:
        async with gateway(rules=rules.format(level=level), actions=actions) as story:
            await story.receives("fire")
            await story.settles()
            assert (story.sent(), story.sent(channel="oncall")) == (["fire"], [])
            assert why in story.reported(RuleFailed)[0].why
            assert count(story, "e").errors == 1


def replaced(old: Ruleset, text: str) -> Ruleset:
    words = vocabulary(pipelines=["echo"], models=["echo"], channels=["chat", "oncall"])
    made = load({"story.rules": text}, words, old.loader)
    assert isinstance(made, Ruleset), made.render()
    return made
