"""A streamed reply overtakes nothing, and nothing is sent beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import trio

from gateway.message.envelope import Delivery
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt
from gateway.ports import ModelAnswer, ModelCall, Traits
from tests.support.story import Story, gateway

PIPELINE = "{pipeline: [{name: say, model: it}], stream: true}"


class Echo:
    """Says back what was asked, in two pieces, as slowly as it is told to."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def answer(self, call: ModelCall) -> ModelAnswer:
        return ModelAnswer(text=call.turns[-1].text)

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        text = call.turns[-1].text
        yield text[:1]
        await trio.sleep(self._seconds)
        yield text[1:]


def talking(seconds: float, **more: Any) -> Any:
    how: dict[str, Any] = {"pipelines": {"it": PIPELINE}, "models": {"it": Echo(seconds)}, "default_pipeline": "it"}
    return gateway(traits=Traits(idempotent=True, can_stream=True), **how, **more)


def streams(story: Story, *answers: Receipt) -> list[str]:
    """Let the channel show streams, the first ones with these answers; return what arrives, in order, as it arrives."""
    channel, arrived, left = story.channels["chat"], list[str](), list(answers)

    async def stream(delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        text = "".join([piece async for piece in pieces])
        receipt = left.pop(0) if left else Delivered()
        if isinstance(receipt, Delivered):
            arrived.append(f"streamed {text}")
        return receipt

    async def deliver(delivery: Delivery) -> Receipt:
        await trio.lowlevel.checkpoint()
        receipt = left.pop(0) if left else Delivered()
        if isinstance(receipt, Delivered):
            arrived.append(f"sent {delivery.message.content}")
        return receipt

    channel.stream, channel.deliver = stream, deliver  # type: ignore[attr-defined, method-assign]
    return arrived


async def test_a_stream_waits_for_the_reply_before_it_that_goes_by_the_outbox(autojump_clock: Any) -> None:
    async with talking(0.1) as story:
        arrived = streams(story, Deferred("a hiccup"), Deferred("busy", 5.0))
        story.offer(story.message("1"), story.message("2"))
        await story.settles()
        assert arrived == ["sent 1", "sent 2"]
        await story.receives("3")
        await story.settles()
        assert arrived[2:] == ["streamed 3"]


async def test_a_rules_reply_is_not_overtaken_by_a_stream(autojump_clock: Any) -> None:
    async with talking(0.1, rules='WHEN message.content == "1" THEN reply("fixed")') as story:
        arrived = streams(story, Deferred("busy", 5.0))
        story.offer(story.message("1"), story.message("2"))
        await story.settles()
        assert arrived == ["sent fixed", "sent 2"]


async def test_what_a_person_resends_waits_for_the_stream_that_is_being_shown(autojump_clock: Any) -> None:
    async with talking(5.0, rules='WHEN message.content == "1" THEN reply("fixed")') as story:
        arrived = streams(story, Bounced("no"))
        first = await story.receives("1")
        await story.settles()
        await story.receives("2")
        await trio.sleep(1)
        assert await story.flow.recovery.resend(f"{first}.0", "a person did it")
        await story.settles()
        assert arrived == ["streamed 2", "sent fixed"]
        await story.receives("3")
        await story.settles()
        assert arrived[2:] == ["streamed 3"]
