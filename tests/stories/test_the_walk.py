"""A message goes in, a reply comes out: hooks, rules, pipelines, in the order they are promised."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gateway.errors import Hold, ModelError, Reject
from gateway.message.receipt import Bounced, Deferred, Unknown
from gateway.notices import DeliveryBuried, DeliveryUnknown, EnvelopeRejected, EnvelopeSetAside, HookOverran
from gateway.ports import Accepted, Duplicate, ModelAnswer, ModelCall, Traits
from tests.support.story import gateway, hook


async def test_a_message_is_answered_by_the_default_pipeline(autojump_clock: Any) -> None:
    async with gateway() as story:
        envelope = await story.receives("hello")
        await story.settles()
        assert story.sent() == ["hello"]
        assert await story.state(envelope) == "done"


async def test_the_documented_hook_rejects_and_lets_pass(autojump_clock: Any) -> None:
    def preprocess_hook(message):  # type: ignore[no-untyped-def]
        if "prohibited_word" in message.content:
            raise ValueError("Invalid content")
        return message

    async with gateway(inbound=[hook(preprocess_hook)]) as story:
        bad = await story.receives("a prohibited_word")
        await story.receives("fine")
        await story.settles()
        assert story.sent() == ["fine"]
        assert await story.state(bad) == "rejected"
        assert story.reported(EnvelopeRejected)[0].why == "Invalid content"


@pytest.mark.parametrize("error", [ValueError, Reject, Hold, KeyError])
async def test_a_reason_that_quotes_the_whole_message_is_cut(autojump_clock: Any, error: Any) -> None:
    def quotes(message: Any) -> None:
        raise error(f"not a number: {message.content}")

    async with gateway(inbound=[hook(quotes)]) as story:
        await story.receives("x" * 100_000)
        await story.settles()
        (told,) = story.reported(EnvelopeRejected) or story.reported(EnvelopeSetAside)
        assert "not a number: xxx" in told.why and told.why.endswith("x…") and len(told.why) < 2100


async def test_a_rejection_may_tell_the_sender(autojump_clock: Any) -> None:
    def refuse(message: Any) -> None:
        raise Reject("not today", tell="Please come back tomorrow.")

    async with gateway(inbound=[hook(refuse)]) as story:
        await story.receives("hello")
        await story.settles()
        assert story.sent() == ["Please come back tomorrow."]


async def test_an_exceptions_text_never_reaches_the_sender(autojump_clock: Any) -> None:
    def breaks(message: Any) -> None:
        raise KeyError("secret detail")

    async with gateway(inbound=[hook(breaks)]) as story:
        envelope = await story.receives("hello")
        await story.settles()
        assert story.sent() == []
        assert await story.state(envelope) == "rejected"


async def test_a_failing_hook_with_policy_skip_is_passed_over(autojump_clock: Any) -> None:
    def breaks(message: Any) -> None:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "a subclass of ValueError is no rejection")

    async with gateway(inbound=[hook(breaks, policy="skip")]) as story:
        await story.receives("hello")
        await story.settles()
        assert story.sent() == ["hello"]


async def test_an_async_hook_is_cancelled_at_its_deadline(autojump_clock: Any) -> None:
    async def slow(message: Any) -> None:
        await trio.sleep(60)

    async with gateway(inbound=[hook(slow, deadline_seconds=0.1)]) as story:
        envelope = await story.receives("hello")
        await story.settles()
        assert await story.state(envelope) == "rejected"
        assert story.reported(HookOverran)


async def test_hooks_see_each_others_changes_and_outbound_hooks_the_reply(autojump_clock: Any) -> None:
    def shout(message: Any) -> None:
        message.content = message.content.upper()

    async def sign(message: Any) -> Any:
        await trio.sleep(0.01)
        message.content += " (bot)"
        return message

    async with gateway(inbound=[hook(shout)], outbound=[hook(sign)]) as story:
        await story.receives("hello")
        await story.settles()
        assert story.sent() == ["HELLO (bot)"]


@pytest.mark.parametrize(
    ("rule", "state", "sent"),
    [
        ('THEN reply("fixed")', "done", ["fixed"]),
        ('THEN reject("spam")', "rejected", []),
        ('THEN reject("spam", "No.")', "rejected", ["No."]),
        ('THEN drop("noise")', "dropped", []),
        ('THEN hold("look at it")', "held", []),
        ('THEN route_to("twice")', "done", ["hello hello"]),
        ('THEN tag("a", "b"), priority(5), route_to("echo")', "done", ["hello"]),
    ],
)
async def test_each_action_does_what_it_says(rule: str, state: str, sent: list[str], autojump_clock: Any) -> None:
    twice = "pipeline: [{name: a, model: echo}, {name: b, model: echo, prompt: '{{ x }} {{ x }}', "
    twice += "input_mapping: {x: a.output}}]"
    async with gateway(rules=f'WHEN message.content == "hello" {rule}', pipelines={"twice": twice}) as story:
        envelope = await story.receives("hello")
        await story.settles()
        assert await story.state(envelope) == state
        assert story.sent() == sent


async def test_forward_sends_a_copy_and_the_answer_still_goes_out(autojump_clock: Any) -> None:
    async with gateway(rules='WHEN message.content CONTAINS "fire" THEN forward("oncall", "duty") CONTINUE') as story:
        await story.receives("fire!")
        await story.settles()
        assert story.sent(channel="oncall") == ["fire!"]
        assert story.channels["oncall"].deliveries[0].message.conversation.id == "duty"
        assert story.sent() == ["fire!"]


async def test_a_throttle_refuses_what_is_beyond_its_rate_per_key(autojump_clock: Any) -> None:
    rules = 'WHEN message.type == "text" THEN throttle("2/1m") PER message.sender.id, route_to("echo")'
    async with gateway(rules=rules) as story:
        for number in range(4):
            await story.receives(f"a{number}", sender="ann")
        await story.receives("b", sender="bob")
        await story.settles()
        assert story.sent() == ["a0", "a1", "b"]
        await trio.sleep(60)
        await story.receives("a9", sender="ann")
        await story.settles()
        assert story.sent()[-1] == "a9"


async def test_a_delay_comes_back_when_it_is_due(autojump_clock: Any) -> None:
    async with gateway(rules='WHEN message.content == "later" THEN delay(2h)') as story:
        envelope = await story.receives("later")
        await trio.sleep(3600)
        assert await story.state(envelope) == "delayed"
        await trio.sleep(3700)
        await story.settles()
        assert story.sent() == ["later"]


async def test_a_held_message_goes_on_when_it_is_released(autojump_clock: Any) -> None:
    async with gateway(rules='WHEN message.content == "odd" THEN hold("check")') as story:
        envelope = await story.receives("odd")
        await story.settles()
        assert await story.flow.recovery.readmit(envelope, "released by an operator")
        await story.settles()
        assert story.sent() == ["odd"]
        assert not await story.flow.recovery.readmit(envelope, "again")


async def test_the_ruleset_models_picks_a_model_by_the_steps_input(autojump_clock: Any) -> None:
    class Long:
        def answer(self, call: ModelCall) -> ModelAnswer:
            return ModelAnswer(text="long")

        def stream(self, call: ModelCall) -> Any:
            raise NotImplementedError

    rules = 'RULESET "models" WHEN LENGTH(input) > 5 THEN use_model("long") OTHERWISE use_model("echo") END'
    async with gateway(
        rules=rules, pipelines={"p": "pipeline: [{name: x}]"}, models={"long": Long()}, default_pipeline="p"
    ) as story:
        await story.receives("hi")
        await story.receives("a longer text")
        await story.settles()
        assert story.sent() == ["hi", "long"]


async def test_a_group_is_answered_only_when_the_gateway_is_mentioned(autojump_clock: Any) -> None:
    async with gateway() as story:
        stages = story.flow.walker.stages
        story.flow.walker.stages = type(stages)(
            **{name: getattr(stages, name) for name in stages.__struct_fields__ if name != "mention_only"},
            mention_only=frozenset({"chat"}),
        )
        quiet = await story.receives("talk among people", kind="group")
        await story.receives("hey gateway", kind="group", mentions_me=True)
        await story.settles()
        assert story.sent() == ["hey gateway"]
        assert await story.state(quiet) == "done"


async def test_a_message_nobody_takes_is_kept_in_sight(autojump_clock: Any) -> None:
    async with gateway(default_pipeline="") as story:
        envelope = await story.receives("anyone?")
        await story.settles()
        assert await story.state(envelope) == "unrouted"


async def test_a_redelivery_is_acknowledged_and_does_nothing(autojump_clock: Any) -> None:
    async with gateway() as story:
        first = await story.receives("once", key="k")
        again = story.offer(story.message("once", key="k"))
        await story.settles()
        assert again == [Duplicate(first)]
        assert story.sent() == ["once"]


async def test_many_messages_of_one_request_commit_together(autojump_clock: Any) -> None:
    async with gateway() as story:
        answers = story.offer(story.message("a"), story.message("b"), story.message("a", key="m1"))
        await story.settles()
        assert [type(answer) for answer in answers] == [Accepted, Accepted, Duplicate]
        assert story.sent() == ["a", "b"]


async def test_a_failing_step_is_tried_again_then_buried_and_the_sender_told(autojump_clock: Any) -> None:
    class Down:
        calls = 0

        async def answer(self, call: ModelCall) -> ModelAnswer:
            Down.calls += 1
            raise ModelError("503", passing=True)

        def stream(self, call: ModelCall) -> Any:
            raise NotImplementedError

    spec = "pipeline: [{name: x, model: down, tries: 3}]\non_failure: Sorry."
    async with gateway(pipelines={"p": spec}, models={"down": Down()}, default_pipeline="p") as story:
        envelope = await story.receives("hi")
        await story.settles()
        assert Down.calls == 3
        assert story.sent() == ["Sorry."]
        assert await story.state(envelope) == "dead"


async def test_a_deferred_reply_is_tried_again_and_blocks_only_its_own_conversation(autojump_clock: Any) -> None:
    async with gateway() as story:
        story.channels["chat"].will(Deferred("throttled", after_seconds=30.0), conversation="a")
        await story.receives("a1", conversation="a")
        await story.receives("a2", conversation="a")
        await story.receives("b1", conversation="b")
        await story.settles()
        assert story.sent("a") == ["a1", "a1", "a2"]
        assert story.sent("b") == ["b1"]
        times = [
            at
            for at, each in zip(story.channels["chat"].times, story.channels["chat"].deliveries, strict=True)
            if each.message.conversation.id == "a"
        ]
        assert times[1] - times[0] >= 30.0


async def test_a_bounced_reply_is_a_dead_letter_and_the_next_goes_on(autojump_clock: Any) -> None:
    async with gateway() as story:
        story.channels["chat"].will(Bounced("no such user"))
        await story.receives("one")
        await story.receives("two")
        await story.settles()
        assert story.sent() == ["one", "two"]
        assert [notice.why for notice in story.reported(DeliveryBuried)] == ["no such user"]


async def test_an_unknown_outcome_is_repeated_only_where_that_is_safe(autojump_clock: Any) -> None:
    async with gateway(traits=Traits(idempotent=True)) as story:
        story.channels["chat"].will(Unknown("lost the answer"))
        await story.receives("hi")
        await story.settles()
        assert story.sent() == ["hi", "hi"]
        assert [each.repeated for each in story.channels["chat"].deliveries] == [False, True]
        assert len({each.id for each in story.channels["chat"].deliveries}) == 1
    async with gateway(traits=Traits(idempotent=False)) as story:
        story.channels["chat"].will(Unknown("lost the answer"))
        await story.receives("hi")
        await story.receives("next")
        await story.settles()
        assert story.sent() == ["hi", "next"]
        assert len(story.reported(DeliveryUnknown)) == 1


async def test_a_reply_that_waited_too_long_is_not_sent(autojump_clock: Any) -> None:
    async with gateway() as story:
        story.channels["chat"].will(Deferred("closed", after_seconds=90_000.0))
        await story.receives("stale")
        await story.settles()
        assert story.sent() == ["stale"]
        assert "expired" in story.reported(DeliveryBuried)[0].why


async def test_a_value_that_no_record_can_hold_buries_its_message_and_nothing_else(autojump_clock: Any) -> None:
    def spoil(message: Any) -> None:
        if message.content == "spoiled":
            message.content = "\ud800"

    async with gateway(outbound=[hook(spoil)]) as story:
        bad = await story.receives("spoiled")
        await story.receives("fine")
        await story.settles()
        assert story.sent() == ["fine"]
        assert await story.state(bad) in ("dead", "rejected")
