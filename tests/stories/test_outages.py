"""Destinations that are down for long, asked never to be sent to again, or come back: memory, order, restarts."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gateway.channels.shared.pace import Pace, Rate
from gateway.errors import ModelError
from gateway.flow import outbox as outbox_file
from gateway.flow.accept import Limits
from gateway.flow.admission import LONGEST_STALL_SECONDS
from gateway.flow.retry import RetryPolicy
from gateway.journal import Memory
from gateway.message.lifecycle import DeliveryState
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unsent
from gateway.notices import DeliveryBuried, EnvelopeRefused
from gateway.ports import Accepted, ModelAnswer, ModelCall, Traits
from tests.support.story import EPOCH, Story, gateway

PATIENT = RetryPolicy(attempts=1000, cap_seconds=30.0)


async def _restart(story: Story, memory: Memory, scope: trio.CancelScope) -> None:
    memory.crash()
    scope.cancel()
    await trio.sleep_forever()


async def _walked(story: Story) -> None:
    while story.flow.lanes.total:
        await trio.sleep(0.01)


async def test_a_destination_that_is_down_keeps_a_few_hundred_in_memory_and_the_rest_in_order(
    autojump_clock: Any,
) -> None:
    limits = Limits(most_in_lane=5000)
    async with gateway(policy=PATIENT, limits=limits) as story:
        story.channels["chat"].will(*[Deferred("down", 600.0)] * 3, conversation="a")
        for number in range(1200):
            await story.receives(f"a{number}", conversation="a")
        await _walked(story)
        assert story.flow.outbox.pending == 1200
        assert story.flow.outbox.in_memory <= outbox_file.MOST_EACH
        await story.receives("b", conversation="b")
        while not story.sent("b"):
            await trio.sleep(0.1)
        await story.settles()
        assert story.sent("a")[3:] == [f"a{number}" for number in range(1200)]


async def test_an_address_that_cannot_be_reached_for_hours_costs_no_reply_and_few_attempts(autojump_clock: Any) -> None:
    hours = 6
    async with gateway() as story:
        channel = story.channels["chat"]
        down = Unsent("the connection was refused")
        for conversation in ("a", "b"):
            channel.will(*[down] * 100_000, conversation=conversation)
        first = await story.receives("a1", conversation="a")
        for text, conversation in (("a2", "a"), ("b1", "b")):
            await story.receives(text, conversation=conversation)
        await trio.sleep(hours * 3600)
        assert story.flow.outbox.pending == 3
        assert len(channel.deliveries) < 40 * hours, "pauses grow, as those of other attempts do"
        (row,) = await story.flow.ground.journal.deliveries_of(first)
        assert len(row.notes) <= 2, "hundreds of attempts found nobody, and one note says so"
        channel.deliveries.clear()
        channel._answers.clear()
        await story.settles()
        assert (story.sent("a"), story.sent("b")) == (["a1", "a2"], ["b1"])


async def test_an_address_that_could_not_be_reached_and_then_fails_has_attempts_left(autojump_clock: Any) -> None:
    async with gateway(policy=RetryPolicy(attempts=6)) as story:
        channel = story.channels["chat"]
        channel.will(*[Unsent("refused")] * 20, *[Deferred("answered 500")] * 3, Delivered())
        await story.receives("hello")
        await story.settles()
        assert story.sent() == ["hello"] * 24
        assert not story.reported(DeliveryBuried)


async def test_an_address_that_cannot_be_reached_gives_back_no_attempt_that_failed(autojump_clock: Any) -> None:
    async with gateway(policy=RetryPolicy(attempts=6)) as story:
        channel = story.channels["chat"]
        failed = [Deferred("answered 500")]
        channel.will(*failed * 5, *[Unsent("refused")] * 3, *failed)
        await story.receives("hello")
        await story.settles()
        assert len(channel.deliveries) == 9
        assert len(story.reported(DeliveryBuried)) == 1


async def test_what_arrives_while_the_shelf_is_read_comes_behind_it_once(autojump_clock: Any) -> None:
    async with gateway(policy=PATIENT, limits=Limits(most_in_lane=5000)) as story:
        story.channels["chat"].will(Deferred("down", 60.0), conversation="a")
        for number in range(900):
            await story.receives(f"a{number}", conversation="a")
            if number > 500:
                await trio.sleep(0.25)
        await story.settles()
        assert story.sent("a")[1:] == [f"a{number}" for number in range(900)]
        assert story.flow.outbox.in_memory == story.flow.outbox.pending == 0


async def test_what_a_person_dropped_from_the_shelf_is_not_sent(autojump_clock: Any) -> None:
    async with gateway(policy=PATIENT, limits=Limits(most_in_lane=5000)) as story:
        story.channels["chat"].will(Deferred("down", 60.0))
        ids = [await story.receives(f"a{number}") for number in range(600)]
        assert await story.flow.recovery.discard(f"{ids[500]}.0", DeliveryState.DROPPED, "stale")
        assert await story.flow.recovery.discard(f"{ids[599]}.0", DeliveryState.DROPPED, "stale")
        await story.settles()
        assert story.sent()[1:] == [f"a{number}" for number in range(599) if number != 500]


async def test_what_a_person_dropped_while_the_shelf_was_read_is_not_sent(autojump_clock: Any) -> None:
    async with gateway(policy=PATIENT, limits=Limits(most_in_lane=5000), traits=Traits(idempotent=True)) as story:
        journal = story.flow.ground.journal
        reads = journal.deliveries_to

        async def dropped_meanwhile(*which: Any, **more: Any) -> Any:
            rows = await reads(*which, **more)
            await story.flow.recovery.discard(f"{ids[300]}.0", DeliveryState.DROPPED, "stale")
            return rows

        journal.deliveries_to = dropped_meanwhile  # type: ignore[method-assign]
        story.channels["chat"].will(Deferred("down", 60.0))
        ids = [await story.receives(f"a{number}") for number in range(600)]
        await story.settles()
        assert story.sent()[1:] == [f"a{number}" for number in range(600) if number != 300]
        assert story.flow.outbox.pending == 0


async def test_what_a_person_dropped_while_it_was_attempted_is_not_tried_again(autojump_clock: Any) -> None:
    async def dropped_meanwhile() -> Receipt:
        assert await story.flow.recovery.discard(f"{first}.0", DeliveryState.DROPPED, "stale")
        return Deferred("still down")

    async with gateway(policy=PATIENT, traits=Traits(idempotent=True)) as story:
        story.channels["chat"].will(Deferred("down"), dropped_meanwhile, Deferred("down"))
        first = await story.receives("one")
        await story.receives("two")
        await story.settles()
        assert story.sent() == ["one", "one", "two", "two"]
        assert story.flow.outbox.pending == 0


async def test_a_restart_takes_up_a_long_outage_with_little_memory_and_in_order(autojump_clock: Any) -> None:
    memory, limits = Memory(), Limits(most_in_lane=5000)
    with trio.CancelScope() as scope:
        async with gateway(memory=memory, policy=PATIENT, limits=limits) as story:
            story.channels["chat"].will(Deferred("down", 600.0))
            for number in range(900):
                await story.receives(f"a{number}")
            await _walked(story)
            await _restart(story, memory, scope)
    async with gateway(memory=memory, policy=PATIENT, limits=limits) as again:
        assert again.flow.outbox.pending == 900
        assert again.flow.outbox.in_memory <= outbox_file.MOST_EACH
        await again.receives("new", key="new")
        await again.settles()
        assert again.sent() == [f"a{number}" for number in range(900)] + ["new"]
        assert all(each.repeated for each in again.channels["chat"].deliveries[:900])
        assert not again.channels["chat"].deliveries[-1].repeated


async def test_an_address_that_is_gone_stays_gone_after_a_restart_until_it_is_enabled(autojump_clock: Any) -> None:
    memory = Memory()
    with trio.CancelScope() as scope:
        async with gateway(memory=memory) as story:
            story.channels["chat"].will(Bounced("gone", disable=True))
            await story.receives("one", conversation="x")
            await story.settles()
            await trio.sleep(2)
            await _restart(story, memory, scope)
    async with gateway(memory=memory) as again:
        dead = await again.receives("two", conversation="x", key="two")
        await again.receives("fine", conversation="y", key="fine")
        await again.settles()
        assert again.sent() == ["fine"]
        assert again.flow.outbox.disabled.listed() == [("chat", "x")]
        assert again.flow.outbox.disabled.remove("chat", "x")
        assert await again.flow.recovery.resend(f"{dead}.0", "enabled again")
        await again.settles()
        assert again.sent() == ["fine", "two"]


async def test_a_dead_message_whose_sender_was_told_can_be_retried(autojump_clock: Any) -> None:
    class Repaired:
        broken = True

        async def answer(self, call: ModelCall) -> ModelAnswer:
            if self.broken:
                raise ModelError("down", passing=False)
            return ModelAnswer(text="at last")

        def stream(self, call: ModelCall) -> Any:
            raise NotImplementedError

    model, spec = Repaired(), "pipeline: [{name: x, model: m}]\non_failure: Sorry."
    async with gateway(pipelines={"p": spec}, models={"m": model}, default_pipeline="p") as story:
        envelope = await story.receives("hi")
        await story.settles()
        assert await story.state(envelope) == "dead"
        model.broken = False
        assert await story.flow.recovery.readmit(envelope, "retried by an operator")
        await story.settles()
        assert story.sent() == ["Sorry.", "at last"]
        assert await story.state(envelope) == "done"


async def test_a_dead_letter_that_is_retried_keeps_its_new_expiry_over_a_restart(autojump_clock: Any) -> None:
    memory, policy = Memory(), RetryPolicy(expiry_seconds=100.0)
    with trio.CancelScope() as scope:
        async with gateway(memory=memory, policy=policy) as story:
            story.channels["chat"].will(Bounced("no such user"))
            envelope = await story.receives("hi")
            await story.settles()
            await trio.sleep(5000)
            story.channels["chat"].will(Deferred("wait", 50.0))
            assert await story.flow.recovery.resend(f"{envelope}.0", "again")
            await trio.sleep(5)
            await _restart(story, memory, scope)
    async with gateway(memory=memory, policy=policy) as again:
        await again.settles()
        assert again.sent() == ["hi"]


async def test_a_release_whose_caller_went_away_is_carried_out_all_the_same(autojump_clock: Any) -> None:
    async with gateway(rules='WHEN message.content == "odd" THEN hold("check")') as story:
        for steps in range(6):
            envelope = await story.receives("odd")
            await story.settles()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(story.flow.recovery.readmit, envelope, "released")
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            await story.settles()
            assert (await story.state(envelope) == "done") == bool(story.sent()), f"after {steps} steps"
            story.channels["chat"].deliveries.clear()


async def test_a_message_deleted_while_it_was_queued_stays_deleted_after_a_crash(autojump_clock: Any) -> None:
    class Hangs:
        async def answer(self, call: ModelCall) -> ModelAnswer:
            await trio.sleep_forever()
            raise AssertionError

        def stream(self, call: ModelCall) -> Any:
            raise NotImplementedError

    memory = Memory()
    with trio.CancelScope() as scope:
        async with gateway(memory=memory, models={"echo": Hangs()}) as story:
            await story.receives("first", id="1")
            await story.receives("second", id="2")
            await story.receives("SECOND", id="3", action="edit", target_id="2")
            await _restart(story, memory, scope)
    async with gateway(memory=memory) as again:
        await again.settles()
        assert again.sent() == ["first", "SECOND"]


@pytest.mark.parametrize("jump", [-7200.0, 7200.0, -400 * 86400.0, 400 * 86400.0])
async def test_a_wall_clock_that_jumps_neither_holds_pauses_nor_expires_replies(
    jump: float, autojump_clock: Any
) -> None:
    async with gateway(rules='WHEN message.content == "later" THEN delay(1m)') as story:
        story.channels["chat"].will(Deferred("busy", 10.0), Deferred("busy", 10.0))
        began = trio.current_time()
        await story.receives("hi")
        await story.receives("later", conversation="b")
        await trio.sleep(1)
        story.jump(jump)
        while not story.sent("b"):
            await trio.sleep(0.5)
        await story.settles()
        assert story.sent("room") == ["hi", "hi", "hi"]
        assert trio.current_time() - began < 65


@pytest.mark.parametrize(("seconds", "refuses"), [(0.8, False), (10.0, True)])
async def test_what_comes_while_the_disk_stands_still_for_a_moment_is_taken(
    seconds: float, refuses: bool, autojump_clock: Any
) -> None:
    memory = Memory()
    async with gateway(memory=memory) as story:
        answers = []
        for number in range(int(100 * seconds)):
            if number == 1:
                memory.pause_commits()
            answers.append(story.offer(story.message(str(number), conversation=str(number % 10))))
            await trio.sleep(0.01)
        memory.resume_commits()
        await story.settles()
        assert [len(each) for each in answers] == [1] * len(answers)
        taken = [number for number, [each] in enumerate(answers) if isinstance(each, Accepted)]
        refused = story.reported(EnvelopeRefused)
        assert len(refused) == len(answers) - len(taken)
        assert bool(refused) is refuses
        assert len(taken) >= min(len(answers), 100 * LONGEST_STALL_SECONDS)
        for conversation in range(10):
            assert story.sent(str(conversation)) == [str(each) for each in taken if each % 10 == conversation]
        await story.receives("and after it as ever")


async def test_a_wall_clock_that_jumps_between_a_reply_and_its_commit_or_its_shelf_expires_nothing(
    autojump_clock: Any,
) -> None:
    memory = Memory()
    async with gateway(memory=memory) as story:
        down = [Deferred("down", 30.0)] * 2
        story.channels["chat"].will(*down)
        memory.pause_commits()
        story.offer(story.message("0"))
        await trio.sleep(0.1)
        story.jump(400 * 86400.0)
        memory.resume_commits()
        for number in range(1, outbox_file.MOST_EACH + 20):
            await story.receives(str(number))
        story.jump(400 * 86400.0)
        await story.settles()
        assert list(dict.fromkeys(story.sent())) == [str(number) for number in range(outbox_file.MOST_EACH + 20)]
        assert not story.reported(DeliveryBuried)


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
async def test_a_clock_that_jumped_while_the_gateway_was_down_makes_no_pause_longer(
    jump: float, autojump_clock: Any
) -> None:
    memory = Memory()
    with trio.CancelScope() as scope:
        async with gateway(memory=memory, rules='WHEN message.content == "later" THEN delay(1m)') as story:
            story.channels["chat"].will(Deferred("busy", 30.0))
            await story.receives("hi")
            await story.receives("later", conversation="b")
            await trio.sleep(5)
            await _restart(story, memory, scope)
    began = trio.current_time()
    async with gateway(memory=memory, wall=[EPOCH + jump]) as again:
        while not again.sent("b"):
            await trio.sleep(0.5)
        await again.settles()
        assert trio.current_time() - began < 65
        assert again.sent("room") == ["hi"]


async def test_many_conversations_behind_one_dead_address_cost_one_attempt_a_pause(autojump_clock: Any) -> None:
    async with gateway(policy=PATIENT, limits=Limits(most_in_lane=5000)) as story:
        channel, down = story.channels["chat"], [True]

        async def answer() -> Any:
            await trio.lowlevel.checkpoint()
            return Deferred("down") if down[0] else Delivered()

        channel.will(*[answer] * 100_000)
        for number in range(300):
            await story.receives("hi", conversation=f"c{number}")
        await trio.sleep(300)
        attempts = len(channel.deliveries)
        assert attempts < 100, attempts
        down[0] = False
        await story.settles()
        assert len({each.id for each in channel.deliveries}) == 300


async def test_what_goes_after_a_reply_that_was_given_up_goes_when_the_journal_knows_of_it(autojump_clock: Any) -> None:
    memory = Memory()
    with trio.CancelScope() as scope:
        async with gateway(memory=memory) as story:

            async def taken_then_killed() -> Any:
                memory.crash()
                scope.cancel()
                await trio.sleep_forever()

            story.channels["chat"].will(Bounced("no such user"), taken_then_killed)
            await story.receives("one")
            await story.receives("two")
            await trio.sleep_forever()
    assert story.sent() == ["one", "two"]
    async with gateway(memory=memory) as again:
        await again.settles()
        assert again.sent() == ["two"]


async def test_replies_that_wait_for_their_turn_use_up_no_attempts_and_hold_up_no_others(autojump_clock: Any) -> None:
    pace = Pace(each=Rate(10.0))

    async def paced() -> Any:
        return await pace.turn("room") or Delivered()

    async with gateway(policy=RetryPolicy(attempts=5)) as story:
        for number in range(40):
            story.channels["chat"].will(*[paced] * 200, conversation=f"thread {number}")
            await story.receives("hello", conversation=f"thread {number}")
        await trio.sleep(30)
        asked = trio.current_time()
        await story.receives("quick", conversation="elsewhere")
        while not story.sent("elsewhere"):
            await trio.sleep(0.1)
        waited = trio.current_time() - asked
        await story.settles()
        assert story.reported(DeliveryBuried) == [] and story.flow.outbox.pending == 0
        assert waited < 1
