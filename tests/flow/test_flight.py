"""Who is named while messages are walked: whose step runs now, and apart from that one who waits."""

from __future__ import annotations

from collections.abc import Callable

import trio
import trio.testing

from gateway.flow.aside import Turn
from gateway.flow.flight import Flight, blamed
from gateway.flow.lanes import Lanes
from gateway.flow.walk import Ending
from gateway.message.envelope import Envelope
from gateway.message.lifecycle import InboundState
from tests.flow.test_lanes import envelope, lanes_of


def flight() -> tuple[Flight, dict[int, str]]:
    names: dict[int, str] = {}
    return Flight(names.__setitem__), names


def under_way(names: dict[int, str]) -> list[str]:
    return [names[place] for place in sorted(names)]


def test_whose_step_ran_is_blamed_alone_and_when_none_did_all_that_were_under_way():
    assert blamed(["k", "a", "", "b"]) == {"k"}
    assert blamed(["", "a", "", "b"]) == {"a", "b"}
    assert blamed(["", ""]) == blamed([]) == frozenset()


async def test_a_walk_is_named_for_as_long_as_it_lasts_and_each_of_its_steps_while_it_runs():
    seen: list[list[str]] = []
    answered, commits = trio.Event(), list[Callable[[], None]]()
    taken, names = flight()

    async def walk(envelope: Envelope, turn: Turn) -> Ending:
        seen.append(under_way(names))
        await turn.aside()
        seen.append(under_way(names))
        with trio.move_on_after(0):
            await trio.sleep_forever()
        seen.append(under_way(names))
        await answered.wait()
        return Ending(InboundState.DONE)

    async with trio.open_nursery() as nursery:
        lanes = lanes_of(nursery, walk, commits)
        lanes.flight = taken
        lanes.feed(envelope("a", 1))
        assert under_way(names) == [""], "its first step is over and the next has not begun"
        await trio.testing.wait_all_tasks_blocked()
        assert under_way(names) == ["", "a1"]
        answered.set()
        await trio.testing.wait_all_tasks_blocked()
    assert seen == [["a1"], ["a1", "a1"], ["a1", "a1"]]
    assert under_way(names) == ["", ""]


async def test_the_name_of_whose_step_ends_the_gateway_stays_while_the_others_are_cancelled():
    taken_aside = trio.Event()
    taken, names = flight()

    async def walk(envelope: Envelope, turn: Turn) -> Ending:
        if envelope.id == "k1":
            return Ending(InboundState.DONE)
        await turn.aside()
        taken_aside.set()
        await trio.sleep_forever()
        raise AssertionError

    def refuse(envelope: Envelope, ending: Ending, done: Callable[[], None], opening: object = None) -> None:
        raise MemoryError

    async with trio.open_nursery() as nursery:
        lanes = Lanes(nursery, walk=walk, hand_over=refuse, report=print)
        lanes.flight = taken
        lanes.feed(envelope("a", 1))
        await taken_aside.wait()
        try:
            lanes.feed(envelope("k", 1))
        except MemoryError:
            nursery.cancel_scope.cancel()
    assert taken.stepping == "k1"
    assert under_way(names) == ["k1", ""]
