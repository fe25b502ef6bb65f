"""Breakers: what fails together is tried together, by one probe at a time.

Destinations behind an open circuit wait here, not each on a timer of its own: ten thousand
conversations with one dead address cost one attempt a pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import trio

from gateway.errors import as_text, stays_contained
from gateway.flow import retry
from gateway.flow.destination import Desk, Destination
from gateway.flow.timers import Timers
from gateway.message.envelope import Delivery
from gateway.notices import BreakerChanged, Report

# How soon the next one is tried when a probe has not come back, or turned out to be none.
_AGAIN_SECONDS = 0.5
# Some 5 MB. Senders may name addresses of their own, so the oldest that holds up nobody is forgotten.
MOST = 10_000


Circuit = tuple[str, str]
"""A channel's name, and what fails and is disabled together behind it: a URL, or '' for the whole channel."""


class _State:
    __slots__ = ("breaker", "parked", "timed", "why")

    def __init__(self) -> None:
        self.breaker = retry.Breaker()
        self.parked: deque[Destination] = deque()
        self.timed = False
        self.why = ""  # the last failure


class Circuits:
    """All circuits that have failed lately, by name. `go` makes a destination ready again."""

    def __init__(
        self,
        timers: Timers,
        go: Callable[[Destination], None],
        spread: Callable[[], float],
        report: Report,
        cap_seconds: float = retry.LONGEST_OPEN,
    ) -> None:
        self._timers, self._go, self._spread, self._report = timers, go, spread, report
        self._cap_seconds = cap_seconds
        self._circuits: dict[Circuit, _State] = {}

    def holds(self, name: Circuit, destination: Destination) -> bool:
        """Say whether the circuit keeps a destination from being tried now; then it waits here until it may be."""
        circuit = self._circuits.get(name)
        if circuit is None or retry.may_send(circuit.breaker, trio.current_time()):
            return False
        circuit.parked.append(destination)
        self._time(name, circuit)
        return True

    def troubled(self, name: Circuit) -> bool:
        """Say whether the circuit has failed lately: then an attempt may be a probe, or must wait."""
        return name in self._circuits

    def open(self) -> Iterator[tuple[Circuit, int, str]]:
        """Give the circuits that are open: the failures in a row, and why the last attempt failed."""
        for name, circuit in self._circuits.items():
            if retry.is_open(circuit.breaker):
                yield name, circuit.breaker.failures, circuit.why

    def count(self, name: Circuit, *, ok: bool, why: str = "") -> None:
        """Count an attempt's outcome: after failures in a row the circuit opens, a success closes it."""
        circuit = self._circuits.get(name)
        if circuit is None:
            if ok:
                return
            self._make_room()
            circuit = self._circuits[name] = _State()
        circuit.why = why
        now, spread = trio.current_time(), self._spread()
        if retry.count(circuit.breaker, ok=ok, now=now, spread=spread, cap_seconds=self._cap_seconds):
            self._report(BreakerChanged(name[0], name[1], "closed" if ok else "open"))
        if ok:
            self.forgive(name)

    def not_tried(self, name: Circuit) -> None:
        """Take back a probe that was let through and not made."""
        circuit = self._circuits.get(name)
        if circuit is not None:
            circuit.breaker.probing = False

    def forgive(self, name: Circuit) -> None:
        """Close a circuit: its other side is known to be reachable."""
        circuit = self._circuits.pop(name, None)
        if circuit is not None:
            for destination in circuit.parked:
                self._go(destination)

    def forgive_channel(self, channel: str) -> None:
        """Close all circuits of a channel."""
        for name in [name for name in self._circuits if name[0] == channel]:
            self.forgive(name)

    def _make_room(self) -> None:
        if len(self._circuits) >= MOST:
            idle = next((name for name, circuit in self._circuits.items() if not circuit.parked), None)
            if idle is not None:
                del self._circuits[idle]

    def _time(self, name: Circuit, circuit: _State) -> None:
        if not circuit.timed:
            circuit.timed = True
            moment = max(circuit.breaker.open_until, trio.current_time() + _AGAIN_SECONDS)
            self._timers.at(moment, lambda: self._due(name, circuit))

    def _due(self, name: Circuit, circuit: _State) -> None:
        circuit.timed = False
        if self._circuits.get(name) is circuit and circuit.parked:
            self._go(circuit.parked.popleft())
            if circuit.parked:
                self._time(name, circuit)


def circuit_of(desk: Desk | None, delivery: Delivery) -> Circuit:
    """Name the circuit that a delivery goes through."""
    channel = delivery.message.channel
    if desk is None or desk.circuit_of is None:
        return channel, ""
    try:
        named = desk.circuit_of(delivery)
        return channel, named if type(named) is str else as_text(named or "")
    except trio.Cancelled:
        raise
    except BaseException as error:  # the channel's bug; the attempt itself will tell what is wrong with this delivery
        if not stays_contained(error):
            raise
        return channel, ""
