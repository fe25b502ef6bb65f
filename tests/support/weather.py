"""A gateway in bad weather: one seed makes traffic, faults and crashes; an account holds what came of it.

Everything runs in memory on a mocked clock, so a schedule of minutes takes milliseconds and comes out the
same every time: `PYTHONPATH=. python -m tests.support.weather SEED` repeats one and tells what happened.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from typing import Any

import trio
import trio._core._run as scheduler  # the one place where trio's order of tasks can be seeded
import trio.testing

from gateway.flow.retry import RetryPolicy
from gateway.journal import Memory
from gateway.message.envelope import Delivery
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.ports import Acceptance, Accepted, Duplicate, Refused, Traits
from tests.support.fickle_model import FickleModel
from tests.support.story import EPOCH, FakeChannel, Story, gateway, hook

ROOMS = "abc"
RULES = """
WHEN message.content STARTS WITH "held" THEN hold("look at it")
WHEN message.content STARTS WITH "later" THEN delay(20s)
WHEN message.content STARTS WITH "dropped" THEN drop("noise")
WHEN message.content STARTS WITH "rejected" THEN reject("no", "No.")
WHEN message.content STARTS WITH "fixed" THEN reply("fixed")
WHEN message.content STARTS WITH "copied" THEN forward("oncall", "duty") CONTINUE
WHEN message.content STARTS WITH "slow" THEN route_to("slow")
WHEN message.content STARTS WITH "fickle" THEN route_to("fickle")
WHEN message.content STARTS WITH "streamed" THEN route_to("streamed")
"""
KINDS = ("plain",) * 8 + ("held", "later", "dropped", "rejected", "fixed", "copied", "slow", "fickle", "streamed")
PIPELINES = {
    "slow": "pipeline: [{name: x, model: slow}]",
    "fickle": "pipeline: [{name: x, model: fickle, tries: 2, deadline_seconds: 5}]\non_failure: Sorry.",
    "streamed": "pipeline: [{name: x, model: slow}]\nstream: true",
}
ASIDE = ("held", "later")
ANSWERED = {"plain", "held", "later", "fixed", "copied", "slow", "fickle", "streamed", "rejected"}
TRAITS = {"chat": Traits(idempotent=True, can_stream=True), "oncall": Traits(idempotent=False)}
# Of the mocked clock; no schedule lasts longer.
STUCK_SECONDS = 20 * 86400.0
POLICY = RetryPolicy(attempts=6, cap_seconds=20.0, attempt_seconds=10.0, expiry_seconds=3600.0)


class World:
    """What outlives the lives of a gateway: its disk, its platforms, the account of what they saw."""

    def __init__(self, seed: int) -> None:
        self.seed, self.chance, self.memory = seed, random.Random(seed), Memory()
        self.calm = False
        self.acked: dict[str, Message] = {}
        self.aside: set[str] = set()  # envelopes that a rule or a person set aside or put back: order is not theirs
        self.arrived: dict[str, int] = {}
        self.order: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.wall = [EPOCH]
        self.told: list[str] = []
        self.struck = False
        self.offered: list[Message] = []
        self._number = 0

    # -- the platforms ----------------------------------------------------------------------------

    def prepare(self, channel: FakeChannel) -> None:
        """Put ourselves in the place of a channel's platform."""

        async def deliver(delivery: Delivery) -> Receipt:
            await trio.lowlevel.checkpoint()
            return await self._deliver(delivery, idempotent=channel.traits.idempotent)

        async def stream(delivery: Delivery, pieces: Any) -> Receipt:
            async for _ in pieces:
                await trio.lowlevel.checkpoint()
            if not self.calm and self.chance.random() < 0.3:
                return Deferred("nobody is there")
            self._arrives(delivery, idempotent=True, streamed=True)
            return Delivered()

        channel.deliver, channel.stream = deliver, stream  # type: ignore[method-assign, attr-defined]

    async def _deliver(self, delivery: Delivery, *, idempotent: bool) -> Receipt:
        roll = 0.0 if self.calm else self.chance.random()
        if 0.55 < roll < 0.75:
            self.counts["deferred"] += 1
            return Deferred("busy", self.chance.choice([None, 0.5, 30.0]))
        if 0.75 < roll < 0.82:
            self.counts["bounced"] += 1
            return Bounced("no", disable=roll > 0.81)
        if roll > 0.97:
            raise RuntimeError("a bug of the channel")
        if roll > 0.95:
            await trio.sleep(60)
        if roll > 0.5:
            await trio.sleep(self.chance.random() * 2)
        if 0.88 < roll < 0.91:
            return Unknown("the connection broke before it was sent")
        self._arrives(delivery, idempotent=idempotent)
        return Unknown("the answer was lost") if 0.82 < roll < 0.88 else Delivered()

    def _arrives(self, delivery: Delivery, *, idempotent: bool, streamed: bool = False) -> None:
        before = self.arrived.get(delivery.id, 0)
        self._tell("arrives", delivery.id, delivery.message.content, "again" if before else "", f"({delivery.attempt})")
        self.arrived[delivery.id] = before + 1
        if before and not (delivery.replayed or (idempotent and (delivery.repeated or streamed))):
            self.wrong.append(f"{delivery} came twice and the second does not say so")
        if before:
            self.counts["repeated"] += 1
        else:
            place = (delivery.message.channel, delivery.message.conversation.id)
            self.order[place].append(delivery.envelope_id)

    # -- the senders ------------------------------------------------------------------------------

    def message(self, story: Story, **fields: Any) -> Message:
        """Make one more message of some kind."""
        self._number += 1
        text = f"{self.chance.choice(KINDS)} {self._number}"
        made = story.message(text, conversation=self.chance.choice(ROOMS), key=f"k{self._number}", **fields)
        self.offered.append(made)
        return made

    def offer(self, story: Story, *messages: Message) -> None:
        """Hand messages in, and book what the gateway says to each."""

        def then(answers: Any) -> None:
            for message, answer in zip(messages, answers, strict=True):
                self._answered(message, answer)

        channel = story.channels["chat"]
        story.flow.door.offer("chat", channel.traits, messages, then)

    def _answered(self, message: Message, answer: Acceptance) -> None:
        match answer:
            case Accepted(id) | Duplicate(id):
                self.counts["accepted"] += isinstance(answer, Accepted)
                self._tell("accepted" if isinstance(answer, Accepted) else "known", id, message.content, message.action)
                self.acked[id] = message
                if message.content.startswith(ASIDE):
                    self.aside.add(id)
            case Refused():
                self.counts["refused"] += 1

    # -- a life -----------------------------------------------------------------------------------

    async def live(self, *, crash_at: tuple[int, bool] = (0, True), steps: int = 0, orderly: bool = False) -> None:
        """Live one life: traffic and faults, then a crash, or an orderly end."""
        self.memory.restart()
        self.memory.crash_at(crash_at[0], kept=crash_at[1])
        with trio.CancelScope(deadline=trio.current_time() + STUCK_SECONDS) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_crashed, scope)
                async with self._gateway() as story:
                    await self._busy(story, steps or self.chance.randrange(5, 40), orderly=orderly)
                nursery.cancel_scope.cancel()
        if trio.current_time() >= scope.deadline:
            self.wrong.append("a life got stuck")
        self.memory.fail_commits(0)
        self.memory.resume_commits()

    async def _busy(self, story: Story, steps: int, *, orderly: bool) -> None:
        for _ in range(steps):
            await self._step(story)
        self.counts["stops"] += 1
        if orderly or self.chance.random() < 0.3:
            story.flow.door.close("draining")
            with trio.move_on_after(5):
                await story.flow.lanes.drained()
                await story.flow.outbox.empty()
            with trio.move_on_after(2):
                await story.flow.outbox.drain()
        elif self.chance.random() < 0.8:
            self.memory.crash()
            await trio.sleep_forever()

    async def finish(self) -> None:
        """Live a last life in good weather: everything set aside or dead is put back, until nothing is left."""
        self.calm = True
        self.memory.restart()
        with trio.move_on_after(STUCK_SECONDS) as scope:
            await self._finish()
        if scope.cancelled_caught:
            self.wrong.append("the last life got stuck")

    async def _finish(self) -> None:
        async with self._gateway() as story:
            for _ in range(40):
                await story.settles()
                for channel, address in story.flow.outbox.disabled.listed():
                    story.flow.outbox.disabled.remove(channel, address)
                await trio.sleep(1)  # what comes back from a delay at this moment
                await story.settles()
                if not await self._revive_all(story):
                    break
            else:
                self.wrong.append("there is always something left to put back")
            await self._audit(story)

    def _gateway(self) -> Any:
        return gateway(
            memory=self.memory, rules=RULES, pipelines=PIPELINES, models=self._models(), traits=TRAITS, policy=POLICY,
            inbound=[hook(self._hook, policy="skip"), hook(self._waiting_hook, policy="skip")],
            seed=self.seed, wall=self.wall, prepare=self.prepare,
        )  # fmt: skip

    async def _until_crashed(self, scope: trio.CancelScope) -> None:
        await self.memory.until_crashed()
        self.counts["crashes"] += 1
        self._tell("crash")
        scope.cancel()

    def _tell(self, *what: object) -> None:
        self.told.append(f"{trio.current_time():10.3f} {' '.join(map(str, what))}")

    async def _step(self, story: Story) -> None:
        chance = self.chance
        match chance.randrange(20):
            case 0:
                await trio.sleep(chance.random() * 30)
            case 1:
                self.memory.fail_commits(chance.randrange(4))
            case 2:
                self.memory.pause_commits()
                await trio.sleep(0.5)
                self.memory.resume_commits()
            case 3:
                story.jump(chance.choice([-31_536_000.0, -86400.0, -3.0, 5.0, 1800.0, 31_536_000.0]))
            case 4:
                story.reload()
            case 5:
                await self._revive_one(story)
            case 6 if self.offered:
                self.offer(story, chance.choice(self.offered[-6:]))  # a platform that did not hear the answer
            case 7 | 8 if self.offered:
                self._change(story)
            case 9 | 10:
                self.offer(story, *[self.message(story) for _ in range(chance.randrange(2, 5))])
            case 11:
                story.flow.outbox.wake("chat")
            case 12:
                self._crowd(story)
            case _:
                self.offer(story, self.message(story))
        if chance.random() < 0.6:
            await trio.sleep(chance.choice([0, 0.001, 0.01, 0.3]))

    def _crowd(self, story: Story) -> None:
        """One wake-up brings many, some of them again and some about others of them."""
        with story.wake_up():
            for _ in range(self.chance.randrange(2, 12)):
                roll = self.chance.random()
                if roll < 0.2 and self.offered:
                    self.offer(story, self.chance.choice(self.offered[-4:]))
                elif roll < 0.3 and self.offered:
                    self._change(story)
                else:
                    self.offer(story, self.message(story))

    def _change(self, story: Story) -> None:
        about = self.chance.choice(self.offered[-3:])
        action = self.chance.choice(["edit", "delete"])
        self.offered[-1] = change = in_place_of(self.message(story, action=action, target_id=about.id), about)
        self.offer(story, change)

    async def _revive_one(self, story: Story) -> None:
        journal = story.flow.ground.journal
        for row in await journal.inbound_in(self.chance.choice([InboundState.HELD, InboundState.DEAD]), limit=1):
            self.aside.add(row.id)
            with trio.move_on_after(self.chance.choice([0, 0.0005, 1])):  # the person may hang up
                await story.flow.recovery.readmit(row.id, "put back")
        for reply in await journal.deliveries_in(DeliveryState.DEAD, limit=1):
            self.aside.add(reply.envelope_id)
            with trio.move_on_after(self.chance.choice([0, 0.0005, 1])):
                await story.flow.recovery.resend(reply.id, "put back")

    async def _revive_all(self, story: Story) -> bool:
        journal, found = story.flow.ground.journal, False
        for state in (InboundState.HELD, InboundState.DEAD, InboundState.UNROUTED):
            for row in await journal.inbound_in(state, limit=1000):
                found = True
                self.aside.add(row.id)
                await story.flow.recovery.readmit(row.id, "put back")
        for sent in (DeliveryState.DEAD, DeliveryState.UNKNOWN):
            for reply in await journal.deliveries_in(sent, limit=1000):
                found = True
                self.aside.add(reply.envelope_id)
                await story.flow.recovery.resend(reply.id, "put back")
        if await journal.inbound_in(InboundState.DELAYED, limit=1):
            found = True
            await trio.sleep(30)
        return found

    # -- the account ------------------------------------------------------------------------------

    async def _audit(self, story: Story) -> None:
        journal, places = story.flow.ground.journal, dict[str, int]()
        for id, message in self.acked.items():
            row = await journal.message(id)
            if row is None:
                self.wrong.append(f"{id} ({message.content}) was acknowledged and is not in the journal")
                continue
            places[id] = row.seq
            replies = await journal.deliveries_of(id)
            if row.state in (InboundState.ACCEPTED, InboundState.DELAYED, InboundState.HELD, InboundState.DEAD):
                self.wrong.append(f"{id} ({message.content}) ends as {row.state}")
            answered = message.action == "new" and message.content.split()[0] in ANSWERED
            if answered and row.state in (InboundState.DONE, InboundState.REJECTED) and not replies:
                self.wrong.append(f"{id} ({message.content}) was never answered")
            for reply in replies:
                if reply.state is not DeliveryState.DELIVERED or reply.id not in self.arrived:
                    self.wrong.append(f"{reply.id} ({message.content}) is {reply.state}, arrived: {self.arrived}")
        # What an edit made one for later, before it was walked or walked again, re-enters at the tail as those do.
        edits = [each for each in self.acked.values() if each.action == "edit" and each.content.startswith(ASIDE)]
        later = {each.target_id for each in edits}
        self.aside |= {id for id, message in self.acked.items() if message.id in later}
        for (channel, _), order in self.order.items():
            for room in ROOMS:  # copies of several rooms meet in one place, in no order among each other
                mine = [id for id in dict.fromkeys(order) if id in places and id not in self.aside]
                seen = [places[id] for id in mine if self.acked[id].conversation.id == room]
                if seen != sorted(seen):
                    self.wrong.append(f"{channel}, {room} was reordered: {seen}")
        tally = await journal.tally()
        counted = Counter(f"inbound.{state}" for (state,) in self.memory.db.execute("SELECT state FROM inbound"))
        counted += Counter(f"delivery.{state}" for (state,) in self.memory.db.execute("SELECT state FROM delivery"))
        if {name: rows for name, rows in tally.items() if rows} != dict(counted):
            self.wrong.append(f"the tally {tally} is not what the tables hold, {counted}")
        self.counts["pending"] = story.flow.outbox.pending
        if story.flow.outbox.pending or story.flow.door.in_hand or story.flow.lanes.total:
            self.wrong.append(
                f"counters do not return to nought: {story.flow.outbox.pending} {story.flow.door.in_hand}"
            )

    # -- what operators plug in -------------------------------------------------------------------

    def _hook(self, message: Any) -> None:
        if not self.calm and self.chance.random() < 0.05:
            raise RuntimeError("a bug of the hook")

    async def _waiting_hook(self, message: Any) -> None:
        if not self.calm and self.chance.random() < 0.15:
            await trio.sleep(self.chance.choice([0.001, 0.02, 60.0]))

    def _models(self) -> dict[str, Any]:
        return {"slow": FickleModel(self, fickle=False), "fickle": FickleModel(self, fickle=True)}


def in_place_of(change: Message, about: Message) -> Message:
    """Make a change come from the conversation and the sender of what it is about."""
    from msgspec.structs import replace

    return replace(change, conversation=about.conversation, sender=about.sender)


class _Strike(trio.abc.Instrument):
    """Crashes the disk after so many steps of tasks."""

    def __init__(self, steps: int, memory: Memory) -> None:
        self._left, self._memory = steps, memory

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self._memory.crash()


async def struck(seed: int, crash_at: tuple[int, bool], crash_after: int) -> World:
    """Live one busy life that crashes at a commit, or after a step; then the last one, in good weather."""
    world = World(seed)
    strike = _Strike(crash_after, world.memory)
    trio.lowlevel.add_instrument(strike)
    await world.live(crash_at=crash_at, steps=30, orderly=True)
    trio.lowlevel.remove_instrument(strike)
    world.struck = world.counts["crashes"] > 0
    await world.finish()
    return world


async def schedule(seed: int) -> World:
    """Live several lives from one seed, the last one in good weather."""
    world = World(seed)
    for _ in range(world.chance.randrange(1, 5)):
        at = (world.chance.randrange(1, 25), world.chance.random() < 0.5) if world.chance.random() < 0.5 else (0, True)
        await world.live(crash_at=at)
    await world.finish()
    return world


def run(seed: int, *, crash_at: tuple[int, bool] = (0, True), crash_after: int = 0) -> World:
    """Run one schedule on a clock of its own, its tasks scheduled by the seed as well.

    With `crash_at` or `crash_after` it is one life that ends there, and the last one.
    """
    scheduler.__dict__["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    scheduler._r.seed(seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    if crash_at[0] or crash_after:
        return trio.run(struck, seed, crash_at, crash_after, clock=clock)
    return trio.run(schedule, seed, clock=clock)


if __name__ == "__main__":
    found = run(int(sys.argv[1]))
    print(dict(found.counts))
    print("\n".join(found.told))
    print("\n".join(found.wrong) or "every promise was kept")
