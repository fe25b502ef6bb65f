"""Conversations take turns: who floods, or waits for a slow model, holds up nobody else."""

from __future__ import annotations

from typing import Any

import trio

from gateway.flow.accept import Limits
from gateway.message.receipt import Delivered
from gateway.ports import Accepted, ModelAnswer, ModelCall
from tests.support.story import gateway


class Slow:
    """A model that takes ten seconds."""

    async def answer(self, call: ModelCall) -> ModelAnswer:
        await trio.sleep(10)
        return ModelAnswer(text=call.turns[-1].text)

    def stream(self, call: ModelCall) -> Any:
        raise NotImplementedError


async def test_a_conversation_that_floods_a_slow_pipeline_delays_nobody_and_closes_no_door(autojump_clock: Any) -> None:
    rules = 'WHEN message.content STARTS WITH "slow" THEN route_to("slow")'
    spec = {"slow": "pipeline: [{name: x, model: slow}]"}
    async with gateway(rules=rules, pipelines=spec, models={"slow": Slow()}, limits=Limits(most_in_lane=2000)) as story:
        for number in range(1500):  # three times as many as may be in hand
            answers = story.offer(story.message(f"slow {number}", conversation="flood"))
            while not answers:
                await trio.lowlevel.checkpoint()
            assert isinstance(answers[0], Accepted), answers
        began = trio.current_time()
        await story.receives("hello", conversation="b")
        while not story.sent("b"):
            await trio.lowlevel.checkpoint()
        assert trio.current_time() - began < 1
        assert len(story.sent("flood")) <= 1


async def test_a_destination_that_does_not_answer_holds_one_worker_and_no_other_conversation(
    autojump_clock: Any,
) -> None:
    async with gateway() as story:

        async def hangs() -> Any:
            await trio.sleep(25)
            return Delivered()

        story.channels["chat"].will(hangs, conversation="a")
        for number in range(300):
            await story.receives(f"a{number}", conversation="a")
            await story.receives(f"b{number}", conversation="b")
        while len(story.sent("b")) < 300:
            await trio.sleep(0.01)
        assert story.sent("a") == ["a0"]
