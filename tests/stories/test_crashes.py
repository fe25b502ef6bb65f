"""Stop a gateway anywhere, start the next one over what was committed: nothing lost, nothing reordered."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio

from gateway.journal import Memory
from gateway.message.receipt import Deferred
from gateway.ports import Accepted, ModelAnswer, ModelCall, Traits
from tests.support.story import Story, gateway, hook


class Crash(trio.abc.Instrument):
    """Counts the steps of tasks and calls `strike` after the n-th."""

    def __init__(self, steps: int, strike: Callable[[], None]) -> None:
        self.left, self._strike = steps, strike

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self._strike()


async def _talk(story: Story, acknowledged: list[str], texts: list[str], conversation: str) -> None:
    for text in texts:
        answers = story.offer(story.message(text, conversation=conversation, key=f"{conversation}/{text}"))
        while not answers:
            await trio.sleep(0.001)
        if isinstance(answers[0], Accepted):
            acknowledged.append(text)
        await trio.sleep(0.002)


def _slow_echo(seconds: float = 0.01) -> Any:
    class Slow:
        async def answer(self, call: ModelCall) -> ModelAnswer:
            await trio.sleep(seconds)
            return ModelAnswer(text=call.turns[-1].text)

        def stream(self, call: ModelCall) -> Any:
            raise NotImplementedError

    return Slow()


async def _until_crash(
    memory: Memory, steps: int, how: dict[str, Any], acknowledged: list[str]
) -> tuple[list[str], bool]:
    """Run a talk and strike after so many task steps; return what was sent before, and whether it was struck."""
    struck, sent = [False], list[str]()
    with trio.CancelScope() as scope:

        def strike() -> None:
            struck[0] = True
            memory.crash()
            scope.cancel()

        instrument = Crash(steps, strike)
        async with gateway(memory=memory, **how) as story:
            story.channels["chat"].will(Deferred("busy", after_seconds=0.01), conversation="a")
            trio.lowlevel.add_instrument(instrument)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_talk, story, acknowledged, ["a1", "a2", "a3"], "a")
                    nursery.start_soon(_talk, story, acknowledged, ["b1", "b2", "b3"], "b")
                await story.settles()
            finally:
                trio.lowlevel.remove_instrument(instrument)
                sent += story.sent()
    return sent, struck[0]


def _in_order(sent: list[str], prefix: str) -> bool:
    """Say whether the first appearances of a conversation's texts are in order."""
    firsts = list(dict.fromkeys(text for text in sent if text.startswith(prefix)))
    return firsts == sorted(firsts)


@pytest.mark.parametrize("model", ["echo", "slow"])
async def test_cancelled_after_any_step_nothing_acknowledged_is_lost_or_reordered(
    model: str, autojump_clock: Any
) -> None:
    how: dict[str, Any] = {"pipelines": {"p": f"pipeline: [{{name: x, model: {model}}}]"}, "default_pipeline": "p"}
    how["models"] = {"slow": _slow_echo()}
    steps, struck = 1, True
    while struck:
        memory, acknowledged = Memory(), list[str]()
        before, struck = await _until_crash(memory, steps, how, acknowledged)
        async with gateway(memory=memory, **how) as story:
            await story.settles()
            sent = before + story.sent()
        assert set(acknowledged) <= set(sent), f"lost after step {steps}: {set(acknowledged) - set(sent)}"
        assert _in_order(sent, "a"), f"reordered after step {steps}: {sent}"
        assert _in_order(sent, "b"), f"reordered after step {steps}: {sent}"
        steps += 7 if model == "slow" else 3


async def test_a_repetition_after_a_crash_has_the_same_id_and_says_so(autojump_clock: Any) -> None:
    memory = Memory()
    with trio.CancelScope() as scope:
        async with gateway(memory=memory) as story:

            async def sent_then_killed() -> Any:
                memory.crash()
                scope.cancel()
                await trio.sleep_forever()

            story.channels["chat"].will(sent_then_killed)
            await story.receives("hi")
            await trio.sleep_forever()
    first = story.channels["chat"].deliveries[0]
    async with gateway(memory=memory) as again:
        await again.settles()
        (second,) = again.channels["chat"].deliveries
    assert second.id == first.id
    assert second.repeated and not first.repeated


async def test_a_send_that_must_not_be_repeated_is_parked_after_a_crash(autojump_clock: Any) -> None:
    memory, traits = Memory(), Traits(idempotent=False)
    with trio.CancelScope() as scope:
        async with gateway(memory=memory, traits=traits) as story:

            async def sent_then_killed() -> Any:
                memory.crash()
                scope.cancel()
                await trio.sleep_forever()

            story.channels["chat"].will(sent_then_killed)
            envelope = await story.receives("hi")
            await trio.sleep_forever()
    async with gateway(memory=memory, traits=traits) as again:
        await again.settles()
        assert again.sent() == []
        row = await again.flow.ground.journal.delivery(f"{envelope}.0")
        assert row is not None and row.state.value == "unknown"
        assert await again.flow.recovery.resend(row.id, "an operator decided")
        await again.settles()
        assert again.sent() == ["hi"]


async def test_a_parked_send_keeps_its_number_and_what_a_person_resends_says_so_after_a_restart(
    autojump_clock: Any,
) -> None:
    memory, traits = Memory(), Traits(idempotent=False)
    with trio.CancelScope() as scope:
        async with gateway(memory=memory, traits=traits) as story:

            async def sent_then_killed() -> Any:
                memory.crash()
                scope.cancel()
                await trio.sleep_forever()

            story.channels["chat"].will(Deferred("busy", after_seconds=0.01), sent_then_killed)
            envelope = await story.receives("hi")
            await trio.sleep_forever()
    async with gateway(memory=memory, traits=traits) as again:
        await again.settles()
        row = await again.flow.ground.journal.delivery(f"{envelope}.0")
        assert row is not None and (row.state.value, row.attempt) == ("unknown", 2)
        again.channels["chat"].will(Deferred("busy", after_seconds=60.0))
        assert await again.flow.recovery.resend(row.id, "an operator decided")
        await trio.sleep(1)
    async with gateway(memory=memory, traits=traits) as last:
        await last.settles()
        (delivery,) = last.channels["chat"].deliveries
        assert (delivery.replayed, delivery.repeated, delivery.attempt) == (True, True, 2)


async def test_a_message_that_kills_the_process_is_buried_after_its_attempts(autojump_clock: Any) -> None:
    memory = Memory()
    for _ in range(4):  # the first kill comes before the commit; the platform sends it again
        with trio.CancelScope() as scope:

            def kills(message: Any) -> None:
                if message.content == "poison":
                    memory.crash()
                    scope.cancel()

            async with gateway(memory=memory, inbound=[hook(kills)]) as story:
                if not await _known(story):
                    await story.receives("poison", conversation="a")
                await trio.sleep_forever()
    async with gateway(memory=memory, inbound=[hook(kills)]) as story:
        await story.receives("fine", conversation="a", key="fine")
        await story.settles()
        assert story.sent() == ["fine"]
        tally = await story.flow.ground.journal.tally()
        assert tally["inbound.dead"] == 1


def _at_once(die: Callable[[], None]) -> Callable[[Any], None]:
    def kills(message: Any) -> None:
        if message.content == "poison":
            die()

    return kills


def _after_a_wait(die: Callable[[], None]) -> Callable[[Any], Any]:
    async def kills(message: Any) -> None:
        if message.content == "poison":
            await trio.sleep(0.02)
            die()

    return kills


async def _life(memory: Memory, poisoned: Callable[..., Any], *messages: tuple[str, str], **how: Any) -> list[str]:
    """Take messages (conversation, text), live until all is settled or one kills the process; return what was sent."""
    sent = list[str]()
    with trio.CancelScope() as scope:

        def die() -> None:
            memory.crash()
            scope.cancel()

        async with gateway(memory=memory, inbound=[hook(poisoned(die))], **how) as story:
            try:
                if messages:
                    story.offer(*[story.message(text, conversation=room) for room, text in messages])
                with trio.move_on_after(10):
                    await story.settles()
            finally:
                sent += story.sent()
    return sent


def _attempts(memory: Memory) -> dict[str, str]:
    """Return the attempts of the messages in each state."""
    return dict(memory.db.execute("SELECT state, group_concat(attempt) FROM inbound GROUP BY state").fetchall())


async def test_a_message_that_kills_the_process_is_found_between_two_that_do_not(autojump_clock: Any) -> None:
    memory = Memory()
    sent = await _life(memory, _at_once, ("a", "fine"), ("a", "poison"), ("a", "fine too"))
    for _ in range(4):
        assert sent == []
        sent += await _life(memory, _at_once)
    assert sent == ["fine", "fine too"]
    assert _attempts(memory) == {"dead": "4", "done": "1,1"}


async def test_who_waits_for_a_model_while_another_kills_the_process_is_not_blamed(autojump_clock: Any) -> None:
    memory = Memory()
    how: dict[str, Any] = {"pipelines": {"p": "pipeline: [{name: x, model: slow}]"}, "default_pipeline": "p"}
    how["models"] = {"slow": _slow_echo(seconds=1.0)}
    sent = await _life(memory, _after_a_wait, ("a", "fine"), ("b", "poison"), **how)
    for _ in range(4):
        assert sent == []
        sent += await _life(memory, _after_a_wait, **how)
    assert sent == ["fine"]
    assert _attempts(memory) == {"dead": "4", "done": "1"}


async def test_orderly_stops_count_nothing_against_who_waits_for_a_model(autojump_clock: Any) -> None:
    memory = Memory()
    how: dict[str, Any] = {"pipelines": {"p": "pipeline: [{name: x, model: slow}]"}, "default_pipeline": "p"}
    how["models"] = {"slow": _slow_echo(seconds=3600.0)}
    await _life(memory, _at_once, ("a", "one"), ("a", "two"), ("b", "three"), ("c", "poison"), **how)
    for _ in range(8):
        await _life(memory, _at_once, **how)
    assert _attempts(memory) == {"dead": "4", "accepted": "1,1,1"}


async def _known(story: Story) -> bool:
    tally = await story.flow.ground.journal.tally()
    return sum(count for state, count in tally.items() if state.startswith("inbound.")) > 0


@pytest.mark.parametrize("seed", range(60))
async def test_random_faults_lose_nothing_and_reorder_nothing(seed: int, autojump_clock: Any) -> None:
    """Random traffic, pauses, refusals, disk trouble and crashes, from one seed."""
    chance, memory, sent, acknowledged = random.Random(seed), Memory(), list[str](), list[str]()
    numbers = dict.fromkeys("abc", 0)
    for _life in range(4):
        with trio.CancelScope() as scope:
            async with gateway(memory=memory, seed=seed) as story:
                try:
                    await _random_life(story, chance, memory, numbers, acknowledged)
                    if chance.random() < 0.7:
                        memory.crash()
                        scope.cancel()
                        await trio.sleep_forever()
                finally:
                    sent += story.sent()
    memory.fail_commits(0)
    memory.resume_commits()
    async with gateway(memory=memory, seed=seed) as story:
        await story.settles()
        sent += story.sent()
    assert set(acknowledged) <= set(sent), f"seed {seed} lost {set(acknowledged) - set(sent)}"
    for room in "abc":
        firsts = list(dict.fromkeys(text for text in sent if text.startswith(room)))
        assert firsts == sorted(firsts, key=lambda text: int(text[1:])), f"seed {seed} reordered {firsts}"


async def _random_life(
    story: Story, chance: random.Random, memory: Memory, numbers: dict[str, int], acknowledged: list[str]
) -> None:
    def taken(text: str) -> Callable[..., None]:
        def then(answers: Any) -> None:
            if isinstance(answers[0], Accepted):
                acknowledged.append(text)

        return then

    for _ in range(chance.randrange(5, 40)):
        match chance.randrange(8):
            case 0:
                await trio.sleep(chance.random() * 2)
            case 1:
                story.channels["chat"].will(Deferred("busy"), conversation=chance.choice("abc"))
            case 2:
                memory.fail_commits(chance.randrange(3))
            case 3:
                memory.pause_commits()
                await trio.sleep(chance.random())
                memory.resume_commits()
            case _:
                room = chance.choice("abc")
                numbers[room] += 1
                text = f"{room}{numbers[room]}"
                channel = story.channels["chat"]
                message = story.message(text, conversation=room, key=text)
                story.flow.door.offer("chat", channel.traits, [message], taken(text))
        if chance.random() < 0.5:
            await trio.sleep(0.001)
