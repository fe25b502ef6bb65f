"""Conversations take turns: who floods, or waits for a slow model, holds up nobody else."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from gateway.flow.accept import Limits
from gateway.message.receipt import Delivered
from gateway.ports import Accepted, ModelAnswer, ModelCall, Refused
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


async def test_a_socket_does_not_wait_for_a_conversation_that_is_full(autojump_clock: Any) -> None:
    limits = Limits(most_in_lane=10)
    how: dict[str, Any] = {"pipelines": {"slow": "pipeline: [{name: x, model: slow}]"}, "models": {"slow": Slow()}}
    async with gateway(default_pipeline="slow", limits=limits, **how) as story:
        inlet = story.flow.inlet(story.channels["chat"], lambda *_: None)
        for number in range(12):
            (last,) = await inlet.accept([story.message(f"{number}", conversation="flood")])
        assert last == Refused("conversation_full", retry_after=5.0) and trio.current_time() < 1
        (other,) = await inlet.accept([story.message("hello", conversation="b")])
        assert isinstance(other, Accepted) and trio.current_time() < 1


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


class Gated(Slow):
    """A model that notes what it is asked and answers once the gate is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = trio.Event()

    async def answer(self, call: ModelCall) -> ModelAnswer:
        self.asked.append(call.turns[-1].text)
        await self.gate.wait()
        return ModelAnswer(text="done")


async def test_when_a_pipeline_is_busy_what_rules_gave_a_higher_priority_goes_first() -> None:
    rules = """
        WHEN message.content STARTS WITH "fire" THEN priority(10), route_to("gated")
        WHEN message.content STARTS WITH "spam" THEN priority(-5), route_to("gated")
        WHEN message.type == "text" THEN route_to("gated")
    """
    spec, model = {"gated": "at_once: 1\npipeline: [{name: x, model: gated}]"}, Gated()
    said = ["at work", "spam", "one", "two", "fire", "three", "fire again"]
    async with gateway(rules=rules, pipelines=spec, models={"gated": model}) as story:
        for number, text in enumerate(said):
            await story.receives(text, conversation=f"c{number}")
            await trio.testing.wait_all_tasks_blocked(0.01)
        model.gate.set()
        with trio.fail_after(60):
            while len(story.sent()) < len(said):
                await trio.lowlevel.checkpoint()
    assert model.asked == ["at work", "fire", "fire again", "one", "two", "three", "spam"]
