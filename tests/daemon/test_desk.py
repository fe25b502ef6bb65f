"""What `oclaw status` shows of the last errors: what the log shows."""

from __future__ import annotations

from types import SimpleNamespace as Having
from typing import Any, cast

import pytest
import trio

from gateway.api.control import FailingDestination
from gateway.daemon.desk import Desk, last_error
from gateway.daemon.gauges import MOST_SHOWN, failing_destinations
from gateway.errors import Hold
from gateway.flow.circuits import Circuits
from gateway.flow.retry import TRIP
from gateway.flow.timers import Timers
from gateway.notices import ChildCrashed, DeliveryBuried, RequestFailed
from gateway.telemetry.lines import Masks
from gateway.telemetry.tail import Seen
from tests.support.story import gateway, hook

FAILS: Any = {
    "pipelines": {"p": "pipeline: [{name: a, function: 'mine:fails'}]"},
    "functions": {"mine:fails": lambda inputs: None},
    "default_pipeline": "p",
}
QUOTE = RequestFailed("the walk of a message", "KeyError: 'what anna wrote'", "e1")


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        (QUOTE, "KeyError: (text withheld)"),
        (ChildCrashed("irc", "OSError: no route for hunter2hunter2", 1.0), "OSError: no route for [secret]"),
        (DeliveryBuried("e1.0", "irc", "ValueError: what anna wrote"), "ValueError: (text withheld)"),
    ],
)
def test_an_error_is_told_without_secrets_and_without_what_people_wrote(notice, text):
    told = last_error(Seen(1.0, notice), Masks(["hunter2hunter2"]), texts=False)
    assert (told.at, told.event, told.text) == (1.0, type(notice).__name__, text)


def test_where_texts_may_be_logged_they_are_shown():
    told = last_error(Seen(1.0, QUOTE), Masks(), texts=True)
    assert (told.text, told.envelope_id) == (QUOTE.error, "e1")


@pytest.mark.parametrize("state", ["held", "dead"])
async def test_a_long_list_is_told_while_everything_else_goes_on(state, autojump_clock):
    def judges(message):
        raise Hold("look")

    async with gateway(
        inbound=[hook(judges)] if state == "held" else [], **(FAILS if state == "dead" else {})
    ) as story:
        for number in range(50):
            await story.receives(str(number), conversation=str(number))
        await story.settles()
        desk, turns, told = Desk(cast(Any, Having(flow=story.flow, ground=story.flow.ground))), [], []

        async def others():
            while not told:
                turns.append(1)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            told += await (desk.held(limit=40) if state == "held" else desk.dead(None, limit=40))
        assert len(told) == 40 and {each.state for each in told} == {state}
        assert len(turns) >= 40


async def test_a_destination_that_is_down_is_named_until_it_answers(autojump_clock):
    circuits = Circuits(Timers(), print, lambda: 0.0, lambda notice: None)
    telling = Having(masks=Masks(["hunter2hunter2"]), texts=False)
    serving = cast(Any, Having(telling=telling, flow=Having(outbox=Having(circuits=circuits))))
    place = ("shop", "https://shop.example/hunter2hunter2")
    for _ in range(TRIP):
        assert failing_destinations(serving) == ()
        circuits.count(place, ok=False, why="RuntimeError: what anna wrote")
    assert failing_destinations(serving) == (
        FailingDestination("shop", "https://shop.example/[secret]", TRIP, "RuntimeError: (text withheld)"),
    )
    circuits.count(place, ok=True)
    assert failing_destinations(serving) == ()
    for number in range(TRIP * (MOST_SHOWN + 1)):
        circuits.count(("shop", str(number // TRIP)), ok=False)
    assert len(failing_destinations(serving)) == MOST_SHOWN
