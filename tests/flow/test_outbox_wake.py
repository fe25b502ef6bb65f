"""When the outbox sends: at once to who is known to be reachable again, and no more at a time than a channel takes."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio
import trio.testing

from gateway.channels.grpc import GrpcChannel
from gateway.channels.grpc_events import only
from gateway.channels.grpc_settings import Settings
from gateway.channels.line import Line
from gateway.config.secret import Secret
from gateway.flow.disabled import Disabled
from gateway.flow.outbox import Outbox
from gateway.flow.retry import RetryPolicy
from gateway.flow.timers import Timers
from gateway.message.envelope import Delivery
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred, Delivered
from gateway.ports import Traits
from gateway.testing.channels import bench


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
        self.put_off = 0

    def delivered(self, given, receipt, began):
        self.done.append(given.id)

    def deferred(self, given, receipt, began, due_at, *, told=False):
        self.put_off += 1


@asynccontextmanager
async def open_outbox(notes):
    """Run an outbox that settles with `notes`, on a clock that began with the mocked one."""
    async with trio.open_nursery() as nursery:
        timers = Timers()
        nursery.start_soon(timers.run)
        yield Outbox(
            nursery, settler=notes, shelf=None, disabled=Disabled(None, None, timers, print), timers=timers,
            policy=RetryPolicy(), report=print, now=lambda: 1e9 + trio.current_time(), spread=lambda: 0.0,
        )  # fmt: skip
        nursery.cancel_scope.cancel()


def reply(id, conversation):
    message = Message(channel="it", conversation=Conversation(conversation))
    return Delivery(id=id, envelope_id=id, message=message, created_at=1e9, expires_at=2e9)


async def test_a_wake_ends_the_pause_of_the_conversation_it_names_and_of_no_other(autojump_clock):
    channel, notes = Away(), Notes()
    async with open_outbox(notes) as outbox:
        outbox.attach(channel)
        outbox.add(reply("a", "c1"))
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


class Inlet:
    """A channel's door of which only the way to the outbox is there."""

    def __init__(self, outbox):
        self._outbox = outbox

    def connected(self, state, why=""):
        pass

    def wake(self, conversation=None, only=None):
        self._outbox.wake("it", conversation, only)


def listens(channel, conversation):
    """Let a client listen to one conversation; what it takes is in the list."""
    taken = []
    line = Line(None, frames=8, acks=False, wants=only([conversation]), at_once=lambda event: not taken.append(event))
    channel.join(line, None)
    return line, taken


async def test_a_reply_waits_for_who_is_away_however_often_others_come_and_go(autojump_clock, nursery):
    channel, notes = GrpcChannel("it", Settings(tokens={"p": Secret("env:T", "t0ken")}), bench().kit), Notes()
    async with open_outbox(notes) as outbox:
        await nursery.start(channel.run, Inlet(outbox))
        outbox.attach(channel)
        outbox.add(reply("a", "away"))
        for _ in range(25):
            line, _ = listens(channel, "another")
            await trio.sleep(10)
            channel.room.leave(line)
        assert (notes.done, notes.put_off) == ([], 1)
        _, taken = listens(channel, "away")
        await trio.testing.wait_all_tasks_blocked()
        assert notes.done == [event.id for event in taken] == ["a"]
    nursery.cancel_scope.cancel()


class Counting:
    """Counts the attempts under way: every other one begins at once, the rest wait in a worker."""

    name, platform = "it", "fake"

    def __init__(self, sends_at_once, under_way):
        self.traits = Traits(idempotent=True, sends_at_once=sends_at_once)
        self.under_way, self.most, self._number = under_way, 0, 0
        self.owed = []

    def deliver_now(self, given, deadline, then):
        self._number += 1
        if self._number % 2:
            return False
        self._enters(given.id)
        self.owed.append((given.id, then))
        return True

    async def deliver(self, given):
        self._enters(given.id)
        await trio.sleep(1)
        self.under_way.discard(given.id)
        return Delivered()

    def answers(self):
        for id, then in self.owed[:1]:
            del self.owed[0]
            self.under_way.discard(id)
            then(Delivered())

    def _enters(self, id):
        self.under_way.add(id)
        self.most = max(self.most, len(self.under_way))


async def test_no_more_is_sent_at_once_than_the_channel_takes_also_after_a_reload_to_fewer(autojump_clock):
    under_way = set()
    many, few, notes = Counting(6, under_way), Counting(2, under_way), Notes()
    async with open_outbox(notes) as outbox:
        outbox.attach(many)

        def add(numbers):
            for number in numbers:
                outbox.add(reply(str(number), f"c{number}"))

        add(range(20))
        await trio.testing.wait_all_tasks_blocked()
        assert many.most == 6
        outbox.detach("it")
        outbox.attach(few)
        add(range(20, 40))
        while len(notes.done) < 40:
            await trio.sleep(1)
            many.answers()
            few.answers()
        assert (many.most, few.most) == (6, 2)


async def test_what_was_ready_when_a_channel_was_taken_away_is_sent_when_it_is_back(autojump_clock):
    class OneAtATime:
        name, platform, traits = "it", "fake", Traits(idempotent=True, sends_at_once=1)

        async def deliver(self, given):
            await trio.sleep(1)
            return Delivered()

    notes, channel = Notes(), OneAtATime()
    async with open_outbox(notes) as outbox:
        outbox.attach(channel)
        for number in range(3):
            outbox.add(reply(str(number), f"c{number}"))
        await trio.testing.wait_all_tasks_blocked()
        outbox.detach("it")
        with trio.fail_after(60):
            await outbox.empty()
        assert notes.done == ["0"]
        outbox.attach(channel)
        await trio.sleep(10)
        assert notes.done == ["0", "1", "2"]
        assert outbox.pending == 0


async def test_a_destination_is_clear_for_a_stream_while_its_channel_is_served_and_nothing_waits(autojump_clock):
    channel, key = Away(), ("it", "c1", "")
    async with open_outbox(Notes()) as outbox:
        assert not outbox.clear(key)
        outbox.attach(channel)
        assert outbox.clear(key)
        outbox.detach("it")
        assert not outbox.clear(key)
        outbox.attach(channel)
        outbox.add(reply("a", "c1"))
        assert not outbox.clear(key)


class Speechless(Exception):
    """As the exceptions of some libraries are when they are given no text."""

    def __str__(self):
        return self.args[0]


async def test_an_error_that_cannot_say_what_it_is_costs_one_attempt(autojump_clock):
    class Flaky(Away):
        async def deliver(self, given):
            if not self.there:
                self.there = True
                raise Speechless(5)
            return Delivered()

    notes = Notes()
    async with open_outbox(notes) as outbox:
        outbox.attach(Flaky())
        outbox.add(reply("a", "c1"))
        await trio.sleep(3600)
        assert notes.done == ["a"]
