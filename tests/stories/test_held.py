"""A person lets go what a hook held: it passes that hook and no other, and nothing is done twice for it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from gateway.errors import Hold
from gateway.flow.hooks import Link
from gateway.flow.rows import story_in
from gateway.journal import Memory
from gateway.ports import ModelAnswer, ModelCall
from tests.support.story import Story, gateway, hook

COUNTS = {"counts": "pipeline: [{name: say, model: counting}]"}
LATE = 'WHEN message.content == "late" THEN delay(1h)'


class Counting:
    """Answers with how often it was asked; `at_first` happens at the first question."""

    def __init__(self, at_first: Any = None) -> None:
        self.asked, self._at_first = 0, at_first

    async def answer(self, call: ModelCall) -> ModelAnswer:
        self.asked += 1
        if self.asked == 1 and self._at_first is not None:
            self._at_first()
            await trio.sleep_forever()
        return ModelAnswer(text=f"answer {self.asked}")

    def stream(self, call: ModelCall) -> Any:
        raise NotImplementedError


def holding(name: str, **how: Any) -> Link:
    """A hook that holds every message, behind a mark it leaves on it."""

    def holds(message: Any) -> None:
        message.content += f" [{name}]"
        raise Hold(f"{name} wants it seen")

    return hook(holds, name=name, **how)


def sign(message: Any) -> None:
    message.content += " (seen)"


async def released(story: Story, envelope: str) -> None:
    await story.settles()
    assert await story.state(envelope) == "held"
    assert await story.flow.recovery.readmit(envelope, "released by an operator")
    await story.settles()


async def verdicts(story: Story, envelope: str) -> list[tuple[str, str]]:
    row = await story.flow.ground.journal.message(envelope)
    assert row is not None
    told = story_in(story.flow.ground.sealer, row)
    assert told is not None
    return [(note.name, note.verdict) for note in told.hooks]


async def test_what_an_inbound_hook_held_goes_on_as_the_hook_left_it_and_through_all_others(
    autojump_clock: Any,
) -> None:
    async with gateway(inbound=[holding("look"), hook(sign)]) as story:
        envelope = await story.receives("odd")
        await released(story, envelope)
        assert story.sent() == ["odd [look] (seen)"]
        assert await verdicts(story, envelope) == [("look", "released"), ("sign", "replace")]


async def test_a_reply_that_an_outbound_hook_held_is_not_made_again(autojump_clock: Any) -> None:
    model = Counting()
    how: dict[str, Any] = {"pipelines": COUNTS, "models": {"counting": model}, "default_pipeline": "counts"}
    async with gateway(outbound=[holding("look"), hook(sign)], **how) as story:
        await released(story, await story.receives("odd"))
        assert (story.sent(), model.asked) == (["answer 1 [look] (seen)"], 1)


async def test_a_release_is_for_the_hook_that_held_and_for_no_other(autojump_clock: Any) -> None:
    same = [holding("look")]
    async with gateway(inbound=[holding("look"), holding("again")], outbound=same) as story:
        envelope = await story.receives("odd")
        for _ in range(3):
            await released(story, envelope)
        assert story.sent() == ["odd [look] [again] [look]"]


@pytest.mark.parametrize("chain", ["inbound", "outbound"])
async def test_what_a_broken_hook_holds_is_judged_by_the_mended_one(chain: str, autojump_clock: Any) -> None:
    failure: list[Exception] = [NameError("messsage"), TypeError("still not"), Hold("seen at last")]

    def fragile(message: Any) -> None:
        if failure:
            raise failure.pop(0)
        message.content += " (judged)"

    chains: dict[str, Any] = {chain: [hook(fragile, policy="hold")]}
    async with gateway(**chains) as story:
        envelope = await story.receives("odd")
        for why in ("NameError: messsage", "TypeError: still not", "seen at last"):
            await story.settles()
            row = await story.flow.ground.journal.message(envelope)
            assert row is not None
            told = story_in(story.flow.ground.sealer, row)
            assert told is not None and (told.why, story.sent()) == (why, [])
            await released(story, envelope)
        assert story.sent() == ["odd (judged)"]


async def test_a_message_that_comes_back_from_a_rules_delay_is_held_like_any_other(autojump_clock: Any) -> None:
    rules = 'WHEN message.content == "later" THEN delay(1h)'
    async with gateway(rules=rules, outbound=[holding("look")]) as story:
        envelope = await story.receives("later")
        await trio.sleep(4000)
        assert await story.state(envelope) == "held"
        await released(story, envelope)
        assert story.sent() == ["later [look]"]


@pytest.mark.parametrize("crashes", [False, True])
async def test_rules_hold_what_a_broken_hook_kept_from_them(crashes: bool, autojump_clock: Any) -> None:
    memory, failure = Memory(), [NameError("messsage")]

    async def fragile(message: Any) -> None:
        if failure:
            raise failure.pop()
        if crashes and not memory.crashed:
            memory.crash()
            await trio.sleep_forever()

    inbound = [hook(fragile, policy="hold", deadline_seconds=60.0)]
    how: dict[str, Any] = {"inbound": inbound, "rules": 'WHEN message.content == "refund" THEN hold("ask me")'}
    with trio.CancelScope() as life:
        async with gateway(memory=memory, **how) as story:
            envelope = await story.receives("refund")
            await story.settles()
            assert await story.flow.recovery.readmit(envelope, "the hook is mended")
            if crashes:
                await memory.until_crashed()
                life.cancel()
                await trio.lowlevel.checkpoint()
            await _asked_by_the_rule(story, envelope)
    if crashes:
        async with gateway(memory=memory, inbound=[], rules=how["rules"]) as story:
            await _asked_by_the_rule(story, envelope)


async def _asked_by_the_rule(story: Story, envelope: str) -> None:
    await story.settles()
    row = await story.flow.ground.journal.message(envelope)
    assert row is not None
    told = story_in(story.flow.ground.sealer, row)
    assert told is not None and (told.why, story.sent()) == ("ask me", [])
    await released(story, envelope)
    assert story.sent() == ["refund"]


async def test_a_rate_refuses_nothing_of_what_a_broken_hook_held_and_a_person_lets_go_at_once(
    autojump_clock: Any,
) -> None:
    failures = [NameError("messsage")] * 3

    def fragile(message: Any) -> None:
        if failures:
            raise failures.pop()

    rules = 'WHEN message.type == "text" THEN throttle("1/1m") PER message.sender.id'
    async with gateway(inbound=[hook(fragile, policy="hold")], rules=rules) as story:
        held = []
        for text in ("one", "two", "three"):
            held.append(await story.receives(text))
            await trio.sleep(100)
        for envelope in held:
            assert await story.flow.recovery.readmit(envelope, "the hook is mended")
        await story.settles()
        assert story.sent() == ["one", "two", "three"]


async def test_rules_hold_what_failed_before_they_were_asked_when_a_person_takes_it_up_again(
    autojump_clock: Any,
) -> None:
    def fails(_: Any) -> Any:
        raise LookupError("a bug")

    async with gateway(rules='WHEN message.content == "refund" THEN hold("ask me")') as story:
        stages = story.flow.walker.stages
        story.flow.walker.stages = replace(stages, route=fails)
        envelope = await story.receives("refund")
        await story.settles()
        assert await story.state(envelope) == "dead"
        story.flow.walker.stages = stages
        assert await story.flow.recovery.readmit(envelope, "the bug is mended")
        await _asked_by_the_rule(story, envelope)


async def test_a_delay_that_is_over_is_over_also_when_a_hook_fails_then(autojump_clock: Any) -> None:
    failure: list[Exception] = []

    def fragile(message: Any) -> None:
        if failure:
            raise failure.pop()

    async with gateway(inbound=[hook(fragile, policy="hold")], rules=LATE) as story:
        failure.append(NameError("messsage"))
        envelope = await story.receives("late")
        await released(story, envelope)
        assert await story.state(envelope) == "delayed", "the rule was not asked before"
        failure.append(NameError("messsage"))
        await trio.sleep(4000)
        await released(story, envelope)
        assert story.sent() == ["late"]


async def test_a_release_outlives_a_crash(autojump_clock: Any) -> None:
    memory = Memory()
    how: dict[str, Any] = {
        "pipelines": COUNTS,
        "models": {"counting": Counting(at_first=memory.crash)},
        "default_pipeline": "counts",
        "inbound": [holding("look")],
        "memory": memory,
    }
    with trio.CancelScope() as life:
        async with gateway(**how) as story:
            envelope = await story.receives("odd")
            await story.settles()
            assert await story.flow.recovery.readmit(envelope, "released by an operator")
            await memory.until_crashed()
            life.cancel()
            await trio.lowlevel.checkpoint()
    async with gateway(**how) as story:
        await story.settles()
        assert story.sent() == ["answer 2"]
