"""Circuits: bounded however many addresses fail, and never stuck behind a probe that was not made."""

from __future__ import annotations

import trio

from gateway.flow import circuits as module
from gateway.flow.attempts import Attempt, Attempts
from gateway.flow.circuits import Circuits
from gateway.flow.destination import Destination
from gateway.flow.retry import TRIP, RetryPolicy
from gateway.flow.timers import Timers


async def test_addresses_that_strangers_name_cost_bounded_memory(autojump_clock, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    circuits = Circuits(Timers(), print, lambda: 0.0, lambda notice: None)
    first = ("it", "held up")
    for _ in range(TRIP):
        circuits.count(first, ok=False)
    assert circuits.holds(first, Destination(("it", "a", "")))
    for number in range(100):
        circuits.count(("it", f"http://{number}"), ok=False)
    assert circuits.troubled(("it", "http://99")) and not circuits.troubled(("it", "http://0"))
    assert circuits.troubled(first), "somebody waits there"
    assert len([number for number in range(100) if circuits.troubled(("it", f"http://{number}"))]) == 9


async def test_a_probe_that_was_not_made_leaves_its_place_to_the_next(autojump_clock):
    circuits = Circuits(Timers(), print, lambda: 0.0, lambda notice: None)
    name, destination = ("it", "u"), Destination(("it", "a", ""))
    for _ in range(TRIP):
        circuits.count(name, ok=False)
    await trio.sleep(60)
    assert not circuits.holds(name, destination)
    attempts = Attempts(None, None, circuits, RetryPolicy(), print, lambda: 0.0, lambda: 0.0, Timers())
    attempt, gone = Attempt(), []
    attempt.begins(None, destination, None, name, 0.0)
    # A person dropped the delivery before it could be marked as being sent.
    assert attempts.settle(attempt, None, lambda: gone.append(circuits.holds(name, destination))) is None
    assert gone == [False]
