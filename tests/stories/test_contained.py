"""What one channel, model or message does wrong stays with it: the gateway beside it goes on."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gateway.message.receipt import Delivered, Receipt
from gateway.ports import Traits
from tests.support.story import gateway


@pytest.mark.parametrize("more_wait", [True, False])
@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_receipt_that_comes_behind_the_deadline_counts_once(
    idempotent: bool, more_wait: bool, autojump_clock: Any
) -> None:
    async def deaf() -> Receipt:
        with trio.CancelScope(shield=True):  # as a thread is, which nobody can cancel
            await trio.sleep(40)
        return Delivered("late")

    async with gateway(traits=Traits(idempotent=idempotent)) as story:
        story.channels["chat"].will(deaf)
        first = await story.receives("one")
        if more_wait:
            await story.receives("two")
        await story.settles()
        assert story.sent() == (["one", "two"] if more_wait else ["one"])
        await story.receives("three")
        await story.settles()
        assert story.sent()[-1] == "three"
        row = await story.flow.ground.journal.delivery(f"{first}.0")
        assert row is not None and row.state.value == "delivered"
        await story.flow.outbox.drain()
