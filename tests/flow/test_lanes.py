"""What counts as in hand: a walk that waits for the gateway, and nothing that waits for something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from gateway.flow.aside import Turn
from gateway.flow.lanes import Lanes
from gateway.flow.walk import Ending
from gateway.message.envelope import Envelope
from gateway.message.lifecycle import InboundState
from gateway.message.message import Conversation, Message

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
