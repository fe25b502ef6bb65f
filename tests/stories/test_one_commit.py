"""Accept and hand-over share a commit where nothing waits; what must hold all the same."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio

from gateway.errors import TooLarge, Unsealable
from gateway.flow.handover import MOST_SHARED_BYTES
from gateway.journal import Memory
from gateway.message.dictionary import Dictionaries
from gateway.message.keyring import new_keyring
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.receipt import Deferred
from gateway.message.seal import RecordKind, Sealer, kind_of
from gateway.ports import Accepted, Duplicate, Refused
from tests.support.story import gateway, hook


async def test_a_redelivery_never_reaches_a_hook(autojump_clock: Any) -> None:
    heard: list[str] = []

    def listens(message: Any) -> None:
        heard.append(message.content)

    memory = Memory()
    async with gateway(memory=memory, inbound=[hook(listens)]) as story:
        first = story.offer(story.message("once", key="k"))
        again = story.offer(story.message("once", key="k"))  # while the first is still being committed
        await story.settles()
        later = story.offer(story.message("once", key="k"))
        await story.settles()
        assert [type(answer) for answer in first + again + later] == [Accepted, Duplicate, Duplicate]
    async with gateway(memory=memory, inbound=[hook(listens)]) as story:  # and after a restart
        restarted = story.offer(story.message("once", key="k"))
        await story.settles()
        assert isinstance(restarted[0], Duplicate)
    assert heard == ["once"]


async def test_of_two_that_one_wake_up_brings_the_second_never_reaches_a_hook(autojump_clock: Any) -> None:
    heard: list[str] = []

    def listens(message: Any) -> None:
        heard.append(message.content)

    async with gateway(inbound=[hook(listens)]) as story:
        with story.wake_up():
            answers = [story.offer(story.message(text, key="k")) for text in ("once", "twice")]
            assert heard == [], "both are read before either is walked"
        await story.settles()
    assert [type(answer) for (answer,) in answers] == [Accepted, Duplicate]
    assert heard == ["once"]


async def test_a_conversation_keeps_its_order_though_only_some_of_a_wake_up_wait_for_their_commit(
    autojump_clock: Any,
) -> None:
    async with gateway() as story:
        with story.wake_up():
            for number in range(4):
                story.offer(story.message(f"new {number}"))
                # Two at once are not walked before they are committed: the next new one must not overtake them.
                story.offer(*[story.message(f"pair {number} {half}") for half in "ab"])
                story.offer(story.message(f"other {number}", conversation="elsewhere"))
        await story.settles()
    expected = [text for number in range(4) for text in (f"new {number}", f"pair {number} a", f"pair {number} b")]
    assert story.sent("room") == expected
    assert story.sent("elsewhere") == [f"other {number}" for number in range(4)]


async def test_whom_the_hooks_of_a_wake_ups_others_would_make_late_is_refused_and_may_come_again(
    autojump_clock: Any,
) -> None:
    heard: list[str] = []

    def takes_long(message: Any) -> None:
        heard.append(message.content)
        autojump_clock.jump(0.03)

    async with gateway(inbound=[hook(takes_long)]) as story:
        with story.wake_up():
            answers = [story.offer(story.message(f"{number}", key=f"{number}")) for number in range(8)]
        await story.settles()
        assert [type(answer) for (answer,) in answers] == [Accepted] * 3 + [Refused] * 5
        assert answers[-1][0].why == "overloaded"
        again = story.offer(story.message("7", key="7"))
        await story.settles()
        assert isinstance(again[0], Accepted)
    assert heard == ["0", "1", "2", "7"]


async def test_two_replies_to_one_destination_that_one_wake_up_commits_are_sent_once_each(autojump_clock: Any) -> None:
    async with gateway() as story:
        for text in ("first", "second"):
            story.offer(story.message(text))
        with story.wake_up():  # their commits come in one
            await trio.sleep(1)
        await story.settles()
        assert story.sent("room") == ["first", "second"]
        assert story.flow.outbox.pending == 0


async def test_a_first_message_needs_one_commit_and_a_crowd_a_few(autojump_clock: Any) -> None:
    memory = Memory()
    async with gateway(memory=memory) as story:
        await trio.sleep(1)
        before = memory.commits
        await story.receives("hello")
        assert memory.commits == before + 1
        assert story.flow.lanes.total == 0, "the walk's end is committed together with the message"
        (row,) = await story.flow.ground.journal.inbound_in(InboundState.DONE, limit=9)
        assert (kind_of(row.sealed), row.note) == (RecordKind.WALKED, b""), "and stands in one record with it"
        (reply,) = await story.flow.ground.journal.deliveries_of(row.id)
        assert reply.sealed == row.sealed, "and so does the reply"
        await story.settles()
        assert story.sent() == ["hello"]


@pytest.mark.parametrize("text", ["short", "long " * MOST_SHARED_BYTES])
async def test_a_reply_is_read_back_from_wherever_it_stands_and_sent_once(autojump_clock: Any, text: str) -> None:
    memory = Memory()
    async with gateway(memory=memory) as story:
        await trio.sleep(1)
        story.channels["chat"].will(Deferred("busy", 600.0))
        story.offer(story.message(text))
        await trio.sleep(5)
        assert story.sent() == [text], "tried once"
        (reply,) = await story.flow.ground.journal.deliveries_in(DeliveryState.DEFERRED, limit=9)
        assert (kind_of(reply.sealed) == RecordKind.WALKED) is (text == "short")
    async with gateway(memory=memory) as story:
        await trio.sleep(1000)
        await story.settles()
        assert story.sent() == [text], "and again by the gateway that was started later"


async def test_a_long_message_keeps_to_itself_so_that_its_reply_is_read_back_without_it(autojump_clock: Any) -> None:
    memory = Memory()
    rules = 'WHEN message.content CONTAINS "long" THEN reply("yes")'
    async with gateway(memory=memory, rules=rules) as story:
        await trio.sleep(1)
        story.channels["chat"].will(Deferred("busy", 600.0))
        name = await story.receives("long " * MOST_SHARED_BYTES)
        await trio.sleep(5)
        journal = story.flow.ground.journal
        (reply,) = await journal.deliveries_of(name)
        row = await journal.message(name)
        assert row is not None
        assert len(reply.sealed) < 1000
        assert (kind_of(row.sealed), bool(row.note)) == (RecordKind.ENVELOPE, True)
    async with gateway(memory=memory, rules=rules) as story:
        await trio.sleep(1000)
        await story.settles()
        assert story.sent() == ["yes"]


async def test_a_message_that_can_be_kept_can_be_kept_with_its_end(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest, refused = 100_000, 0
    sealer = Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom, max_bytes=largest)
    monkeypatch.setattr("tests.support.story._sealer", lambda: sealer)
    async with gateway(rules='WHEN message.content CONTAINS "x" THEN reply("yes")') as story:
        await trio.sleep(1)
        for size in range(largest - 600, largest + 1, 20):
            before = len(story.sent())
            try:
                name = await story.receives("x" * size, conversation=f"{size}")
            except TooLarge:
                refused += 1
                assert (story.flow.lanes.total, len(story.sent())) == (0, before)
                continue
            await story.settles()
            assert await story.state(name) == "done"
        assert 0 < refused < 30, "the last ones"
        assert len(story.sent()) == 31 - refused


async def test_nobody_overtakes_a_message_whose_commit_is_under_way(autojump_clock: Any) -> None:
    memory = Memory()
    async with gateway(memory=memory) as story:
        await trio.sleep(1)
        memory.pause_commits()
        for number in range(5):
            story.offer(story.message(f"a{number}", conversation="a"))
            await trio.sleep(0.01)
        memory.resume_commits()
        story.offer(story.message("a5", conversation="a"))
        await story.settles()
        assert story.sent() == ["a0", "a1", "a2", "a3", "a4", "a5"]


async def test_a_burst_of_one_conversation_needs_no_commit_for_each(autojump_clock: Any) -> None:
    memory = Memory()
    async with gateway(memory=memory) as story:
        await trio.sleep(1)
        memory.pause_commits()
        for number in range(30):
            story.offer(story.message(f"a{number}", conversation="a"))
        before = memory.commits
        memory.resume_commits()
        await story.settles()
        assert story.sent() == [f"a{number}" for number in range(30)]
        assert memory.commits <= before + 3


async def test_a_long_burst_is_walked_in_pieces_and_in_order(autojump_clock: Any) -> None:
    async with gateway() as story:
        await trio.sleep(1)
        for number in range(200):
            story.offer(story.message(f"a{number}", conversation="a"))
        await story.settles()
        assert story.sent() == [f"a{number}" for number in range(200)]


async def test_a_walk_that_waits_begins_its_wait_when_all_before_it_is_committed(autojump_clock: Any) -> None:
    states: list[str] = []

    async def looks_back(message: Any) -> None:
        if message.content == "second":
            await trio.sleep(0)
            states.append(await story.state(first[0].id))

    memory = Memory()
    async with gateway(memory=memory, inbound=[hook(looks_back)]) as story:
        await trio.sleep(1)
        first: Any = story.offer(story.message("first", conversation="a"))
        await story.settles()
        first = story.offer(story.message("plain", conversation="a"))
        story.offer(story.message("second", conversation="a"))
        await story.settles()
        assert states == ["done"]
        assert story.sent() == ["first", "plain", "second"]


async def test_a_message_that_cannot_be_kept_is_refused_before_a_hook_hears_of_it(autojump_clock: Any) -> None:
    heard: list[str] = []
    async with gateway(inbound=[hook(lambda message: heard.append(message.content))]) as story:
        await trio.sleep(1)
        with pytest.raises(Unsealable):
            story.offer(story.message("half a pair: \ud800"))
        assert (story.flow.lanes.total, story.flow.door.in_hand, heard) == (0, 0, [])
        await story.receives("hello")
        assert heard == ["hello"]


async def test_a_message_whose_end_cannot_be_made_is_buried_in_the_same_commit(autojump_clock: Any) -> None:
    def fails(reply: Any) -> list[str]:
        raise ValueError("no such emoji")

    async with gateway() as story:
        await trio.sleep(1)
        story.channels["chat"].cut = fails  # type: ignore[attr-defined]
        name = await story.receives("hello")
        await story.settles()
        assert await story.state(name) == "dead"
        assert (story.sent(), story.flow.lanes.total) == ([], 0)


async def test_a_walk_before_a_failed_commit_sends_nothing_and_frees_its_conversation(autojump_clock: Any) -> None:
    memory = Memory()
    async with gateway(memory=memory) as story:
        await trio.sleep(1)
        memory.fail_commits(1)
        refused = story.offer(story.message("hello", key="k"))
        await trio.sleep(2)
        assert isinstance(refused[0], Refused)
        assert story.sent() == []
        again = story.offer(story.message("hello", key="k"))  # the platform comes again
        await story.settles()
        assert isinstance(again[0], Accepted)
        assert story.sent() == ["hello"]


async def test_a_hook_that_waits_is_carried_on_after_the_commit(autojump_clock: Any) -> None:
    async def waits(message: Any) -> None:
        await trio.sleep(0.01)

    async with gateway(inbound=[hook(waits)]) as story:
        await trio.sleep(1)
        story.channels["chat"].will(Deferred("busy"))
        for number in range(3):
            await story.receives(f"a{number}")
        await story.settles()
        assert story.sent() == ["a0", "a0", "a1", "a2"]
