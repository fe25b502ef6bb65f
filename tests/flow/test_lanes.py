"""What counts as in hand: a walk that waits for the gateway, and nothing that waits for something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from gateway.flow.aside import Turn
from gateway.flow.lanes import Lanes
from gateway.flow.walk import Ending
from gateway.message.envelope import Envelope
from gateway.message.lifecycle import InboundState
from gateway.message.message import Conversation, Message, MessageAction, Sender
from gateway.ports import Traits

Walk = Callable[[Envelope, Turn], Awaitable[Ending]]


def envelope(conversation: str, number: int) -> Envelope:
    message = Message(channel="chat", content="hi", conversation=Conversation(id=conversation))
    return Envelope(id=f"{conversation}{number}", message=message, received_at=0.0, deadline=0.2)


def lanes_of(nursery: trio.Nursery, walk: Walk, commits: list[Callable[[], None]]) -> Lanes:
    """Make lanes whose hand-overs wait in `commits` until a test calls them."""
    return Lanes(
        nursery,
        walk=walk,
        hand_over=lambda envelope, ending, done, opening=None: commits.append(done),
        report=lambda notice: None,
    )


async def test_who_waits_behind_another_message_of_its_conversation_is_not_in_hand() -> None:
    commits: list[Callable[[], None]] = []

    async def walk(envelope: Envelope, turn: Turn) -> Ending:
        return Ending(InboundState.DONE)

    async with trio.open_nursery() as nursery:
        lanes = lanes_of(nursery, walk, commits)
        for number in range(100):
            lanes.feed(envelope("flood", number))
        lanes.feed(envelope("other", 0))
        under_way = len(commits)
        assert (lanes.in_hand, lanes.total) == (under_way, 101)
        assert under_way < 50
        while commits:
            commits.pop(0)()
        assert (lanes.in_hand, lanes.total) == (0, 0)


async def test_a_walk_that_waits_for_a_model_is_in_hand_again_when_it_goes_on() -> None:
    answered, commits = trio.Event(), list[Callable[[], None]]()

    async def walk(envelope: Envelope, turn: Turn) -> Ending:
        await turn.aside()
        await answered.wait()
        return Ending(InboundState.DONE)

    async with trio.open_nursery() as nursery:
        lanes = lanes_of(nursery, walk, commits)
        lanes.feed(envelope("a", 0))
        lanes.feed(envelope("a", 1))
        assert (lanes.in_hand, lanes.total) == (0, 2)
        answered.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (lanes.in_hand, lanes.total) == (1, 2)
        commits.pop(0)()
        await trio.testing.wait_all_tasks_blocked()
        commits.pop(0)()
        assert (lanes.in_hand, lanes.total) == (0, 0)


async def test_a_reaction_that_is_taken_back_leaves_the_queued_message_it_was_on() -> None:
    answered, commits, walked = trio.Event(), list[Callable[[], None]](), list[str]()

    async def walk(envelope: Envelope, turn: Turn) -> Ending:
        walked.append(envelope.id)
        await turn.aside()
        await answered.wait()
        return Ending(InboundState.DONE)

    def about_the_post(number: int, **fields: Any) -> Envelope:
        message = replace(post.message, id=str(number), target_id=post.message.id, type="reaction", **fields)
        return replace(post, id=f"a{number}", message=message)

    async with trio.open_nursery() as nursery:
        lanes = lanes_of(nursery, walk, commits)
        lanes.feed(envelope("a", 0))
        post = replace(envelope("a", 1), message=replace(envelope("a", 1).message, id="post"))
        for each in (post, about_the_post(2), about_the_post(3, action="delete")):
            lanes.feed(each)
        answered.set()
        while lanes.total:
            await trio.testing.wait_all_tasks_blocked()
            while commits:
                commits.pop(0)()
        assert walked == ["a0", "a1", "a2", "a3"]


async def changed_while_queued(author: Sender, **change: Any) -> tuple[list[str], dict[str, Ending]]:
    """Let somebody change a message that waits behind another; return what was walked, and how each ended."""
    answered, commits, walked = trio.Event(), list[Callable[[], None]](), list[str]()
    endings: dict[str, Ending] = {}
    checks = change.pop("checks_deletions", False)

    async def walk(envelope: Envelope, turn: Turn) -> Ending:
        walked.append(envelope.id)
        await turn.aside()
        await answered.wait()
        return Ending(InboundState.DONE)

    def hand_over(envelope: Envelope, ending: Ending, done: Callable[[], None], opening: object = None) -> None:
        endings[envelope.id] = ending
        commits.append(done)

    async with trio.open_nursery() as nursery:
        lanes = Lanes(
            nursery,
            walk=walk,
            hand_over=hand_over,
            report=lambda notice: None,
            traits_of=lambda channel: Traits(checks_deletions=checks and channel == "chat"),
        )
        first, post = envelope("a", 0), envelope("a", 1)
        said = replace(post.message, id="post", sender=author)
        about = replace(said, id="about", target_id="post", **change)
        for each in (first, replace(post, message=said), replace(post, id="d", message=about)):
            lanes.feed(each)
        answered.set()
        while lanes.total:
            await trio.testing.wait_all_tasks_blocked()
            while commits:
                commits.pop(0)()
    return walked, endings


@pytest.mark.parametrize(
    ("author", "by", "goes"),
    [
        (Sender("anna", "Anna"), Sender("anna"), True),
        (Sender("anna", "Anna"), Sender("anna", "Anna, away"), True),
        (Sender("anna", "Anna"), Sender("bert", "Anna"), False),
        (Sender(name="Anna"), Sender(name="Bert"), False),
    ],
    ids=["without a name", "under another name", "by somebody else", "by somebody else without an id"],
)
async def test_what_its_sender_deletes_while_it_is_queued_is_not_walked(author: Sender, by: Sender, goes: bool) -> None:
    walked, endings = await changed_while_queued(author, sender=by, action="delete")
    assert walked == (["a0"] if goes else ["a0", "a1", "d"])
    if goes:
        assert endings["a1"] == Ending(InboundState.DROPPED, why="deleted by its sender", by="lane")


@pytest.mark.parametrize(
    ("checks", "action", "goes"),
    [(True, "delete", True), (False, "delete", False), (True, "edit", False)],
    ids=["where the platform checks who may", "where a client says who it is", "only deletions"],
)
async def test_what_a_moderator_deletes_while_it_is_queued_is_not_walked(
    checks: bool, action: MessageAction, goes: bool
) -> None:
    walked, endings = await changed_while_queued(
        Sender("anna"), sender=Sender("moderator"), action=action, checks_deletions=checks
    )
    assert walked == (["a0"] if goes else ["a0", "a1", "d"])
    if goes:
        assert endings["a1"] == Ending(InboundState.DROPPED, why="deleted by a moderator", by="lane")
