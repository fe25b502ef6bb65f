"""While the disk refuses, no more is sent than can be remembered; when it takes writes again, the rest goes out."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gateway.flow import standstill
from gateway.journal import Memory
from gateway.message.envelope import Delivery
from gateway.message.receipt import Delivered, Receipt
from gateway.ports import Cursor, Refused
from tests.support.story import gateway


async def test_replies_wait_while_a_transactions_worth_of_outcomes_waits_for_the_disk(
    autojump_clock: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(standstill, "MOST_KEPT", 20)
    memory, opened, sent = Memory(), trio.Event(), list[str]()
    async with gateway(memory=memory) as story:

        async def deliver(delivery: Delivery) -> Receipt:
            await opened.wait()
            await trio.sleep(0.01)
            sent.append(delivery.message.content)
            return Delivered()

        story.channels["chat"].deliver = deliver  # type: ignore[method-assign]
        texts = [f"{number}" for number in range(200)]
        story.offer(*[story.message(text, conversation=f"c{text}") for text in texts])
        await trio.sleep(1)
        memory.fail_commits()
        story.offer(story.message("refused"))
        await trio.sleep(1)
        opened.set()
        await trio.sleep(600)
        under_way = story.channels["chat"].traits.sends_at_once
        assert 20 <= story.flow.ground.journal.backlog <= 20 + under_way
        assert len(sent) <= 20 + under_way
        memory.fail_commits(0)
        await story.settles()
        assert sorted(sent) == sorted(texts)


@pytest.mark.parametrize("why", ["the gateway stops", "the disk is full"])
async def test_what_a_channel_wants_to_remember_without_a_message_is_refused_like_a_message(
    why: str, autojump_clock: Any
) -> None:
    memory = Memory()
    memory.db.execute("CREATE TRIGGER picky BEFORE INSERT ON cursor BEGIN SELECT RAISE(ABORT, 'not this one'); END")
    async with gateway(memory=memory) as story:
        if why == "the gateway stops":
            story.flow.door.close("draining")
        inlet = story.flow.inlet(story.channels["chat"], lambda *_: None)
        told = await inlet.accept((), Cursor("invitations", "one"))
        assert [type(each) for each in told] == [Refused], "else the platform is told that it is kept"
