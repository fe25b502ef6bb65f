"""What a channel may have besides: showing that an answer is made, cutting by its own measure, waiting offline."""

from __future__ import annotations

import trio

from gateway.flow.flight import Flight
from gateway.message.receipt import Deferred, Delivered
from gateway.notices import TypingFailed
from gateway.ports import ModelAnswer, Traits
from tests.support.story import gateway

SLOW = {"slow": "pipeline: [{name: think, model: slow}]"}


class Slow:
    """A model that thinks for twelve seconds."""

    def answer(self, call):
        return self._think()

    async def _think(self):
        await trio.sleep(12)
        return ModelAnswer(text="there")


def typing_story(**more):
    traits = Traits(idempotent=True, typing_seconds=5.0)
    return gateway(traits=traits, models={"slow": Slow()}, pipelines=SLOW, **more)


def typist(story, shown, error=None):
    async def typing(conversation, *, working):
        shown.append((round(trio.current_time() - story.began, 1), conversation.id, working))
        if error:
            raise error

    story.channels["chat"].typing = typing
    story.began = trio.current_time()


async def test_typing_is_shown_again_and_again_while_a_model_is_waited_for(autojump_clock):
    shown = []
    async with typing_story(default_pipeline="slow") as story:
        typist(story, shown)
        await story.receives("hello")
        await story.settles()
    assert shown == [(0.4, "room", True), (5.4, "room", True), (10.4, "room", True), (12.0, "room", False)]


async def test_an_answer_that_comes_at_once_shows_nothing(autojump_clock):
    shown = []
    async with typing_story() as story:
        typist(story, shown)
        await story.receives("hello")
        await story.settles()
    assert shown == [] and story.sent() == ["hello"]


async def test_typing_that_fails_costs_a_counter_and_no_answer(autojump_clock):
    shown = []
    async with typing_story(default_pipeline="slow") as story:
        typist(story, shown, error=OSError("down"))
        await story.receives("hello")
        await story.settles()
    assert len(shown) == 1 and story.sent() == ["there"]
    assert [notice.channel for notice in story.reported(TypingFailed)] == ["chat"]


async def test_a_channel_may_cut_by_its_own_measure(autojump_clock):
    async with gateway() as story:
        story.channels["chat"].cut = lambda reply: reply.content.split("\n")
        await story.receives("one\ntwo\nthree")
        await story.settles()
    assert story.sent() == ["one", "two", "three"]


async def test_a_mention_token_is_never_parted(autojump_clock):
    async with gateway(traits=Traits(idempotent=True, text_limit=10, tokens=r"<@\w+>")) as story:
        await story.receives("aaaaaaa<@U123>")
        await story.settles()
    assert story.sent() == ["aaaaaaa", "<@U123>"]


async def test_a_platform_that_is_down_for_a_day_buries_no_reply(autojump_clock):
    async with gateway() as story:
        channel = story.channels["chat"]
        channel.will(*[Deferred("down", 60.0, offline=True)] * 1000)
        envelope = await story.receives("hello")
        await trio.sleep(12 * 3600)
        assert await story.state(envelope) == "done" and story.flow.outbox.pending == 1
        (row,) = await story.flow.ground.journal.deliveries_of(envelope)
        assert len(row.notes) == 1, "hundreds of attempts found nobody, and one note says so"
        channel.will(Delivered())
        channel._answers[""].clear()
        story.flow.outbox.wake("chat")
        await story.settles()
    assert story.sent()[-1] == "hello" and story.flow.outbox.pending == 0


async def test_what_cuts_runs_under_its_messages_own_name_while_names_are_taken(autojump_clock):
    names, under = {}, []
    async with gateway() as story:
        story.flow.door.cautious, story.flow.lanes.flight = True, Flight(names.__setitem__)
        story.channels["chat"].cut = lambda reply: under.append(names[0]) or [reply.content]
        answers = [story.offer(story.message(f"{number}", conversation=f"{number}")) for number in range(3)]
        with story.wake_up():  # their commits come in one
            await trio.sleep(1)
        await story.settles()
    assert under == [answer.id for (answer,) in answers]
