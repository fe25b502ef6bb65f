"""A destination that is known to be reachable again is tried at once, whatever pause it was given."""

from __future__ import annotations

import trio
import trio.testing

from gateway.flow.disabled import Disabled
from gateway.flow.outbox import Outbox
from gateway.flow.retry import RetryPolicy
from gateway.flow.timers import Timers
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred, Delivered
from gateway.ports import Traits
from gateway.testing.channels import delivery


class Away:
    """A channel whose client is away at first."""

    name, platform, traits = "it", "fake", Traits(idempotent=True)

    def __init__(self):
        self.there = False
        self.attempts = []

    async def deliver(self, given):
        self.attempts.append(trio.current_time())
        return Delivered() if self.there else Deferred("nobody is there", 3600.0)


class Notes:
    """Settles nothing, remembers what was delivered."""

    def __init__(self):
        self.done = []

    def delivered(self, given, receipt, began):
        self.done.append(given.id)

    def deferred(self, given, receipt, began, due_at):
        pass


async def test_a_wake_ends_the_pause_of_the_conversation_it_names_and_of_no_other(autojump_clock):
    channel, notes = Away(), Notes()
    async with trio.open_nursery() as nursery:
        timers = Timers()
        nursery.start_soon(timers.run)
        outbox = Outbox(
            nursery, settler=notes, shelf=None, disabled=Disabled(None, None, timers, print), timers=timers,
            policy=RetryPolicy(), report=print, now=lambda: 1e9 + trio.current_time(), spread=lambda: 0.0,
        )  # fmt: skip
        outbox.attach(channel)
        reply = delivery(Message(channel="it", conversation=Conversation("c1")))
        outbox.add(type(reply)(id="a", envelope_id="a", message=reply.message, created_at=1e9, expires_at=2e9))
        await trio.testing.wait_all_tasks_blocked()
        channel.there = True
        outbox.wake("it", Conversation("c2"))
        await trio.testing.wait_all_tasks_blocked()
        assert notes.done == []
        began = trio.current_time()
        outbox.wake("it", Conversation("c1"))
        await trio.testing.wait_all_tasks_blocked()
        assert notes.done == ["a"]
        assert channel.attempts[-1] == began
        nursery.cancel_scope.cancel()
