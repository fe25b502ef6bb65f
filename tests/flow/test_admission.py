"""Admission on simulated machines: slow or fast, the wait stays bounded, and the machine never stands idle."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.flow.admission import FEW, LONGEST_STALL_SECONDS, MOST, PATIENCE_SECONDS, Pressure

BOUND = 0.1


class Machine:
    """Does one message after the other, each in `cost` seconds; what it does not take is refused."""

    def __init__(self, cost: float) -> None:
        self.cost, self.pressure = cost, Pressure()
        self.queue: deque[float] = deque()
        self.free_at = 0.0
        self.done = self.refused = 0
        self.waits: list[tuple[float, float]] = []
        self.stall = (0.0, 0.0)

    def stall_disk(self, begin: float, end: float) -> None:
        """Do nothing from then until then."""
        self.stall = (begin, end)

    def load(self, rate: float, begin: float, end: float) -> None:
        for number in range(int((end - begin) * rate)):
            self.arrive(begin + number / rate)

    def arrive(self, now: float) -> None:
        begin, end = self.stall
        if begin <= now < end:
            self.free_at = end
            self.pressure.stalled(now - begin, now)
        while self.queue and max(self.free_at, self.queue[0]) + self.cost <= now:
            came = self.queue.popleft()
            self.free_at = max(self.free_at, came) + self.cost
            self.waits.append((came, self.free_at - came))
            self.done += 1
        self.pressure.observe(len(self.queue), now)
        if self.pressure.is_full(len(self.queue), BOUND, now):
            self.refused += 1
        else:
            self.pressure.arrived += 1
            self.queue.append(now)


@settings(max_examples=20, deadline=None)
@given(speed=st.floats(100, 3_000), overload=st.floats(1.5, 6))
def test_under_overload_the_wait_is_bounded_and_the_machine_is_never_idle(speed: float, overload: float) -> None:
    machine = Machine(1 / speed)
    machine.load(speed * overload, 0.0, 3.0)
    assert machine.done >= 0.97 * 3.0 * speed
    steady = [wait for came, wait in machine.waits if came > 1.5]
    assert max(steady) <= max(BOUND * 1.3, (FEW + 1) / speed)


@settings(max_examples=20, deadline=None)
@given(speed=st.floats(200, 3_000), share=st.floats(0.05, 0.9))
def test_a_load_below_the_machines_speed_is_never_refused(speed: float, share: float) -> None:
    machine = Machine(1 / speed)
    machine.load(speed * share, 0.0, 2.0)
    assert machine.refused == 0


def test_a_burst_after_silence_is_taken_whatever_the_measured_rate_says() -> None:
    machine = Machine(1 / 4_000)
    machine.load(20, 0.0, 5.0)
    machine.load(20_000, 5.0, 5.02)
    assert machine.refused == 0


def test_a_burst_beyond_half_a_seconds_work_of_a_slow_machine_is_not() -> None:
    machine = Machine(1 / 1_000)
    machine.load(100_000, 0.0, 0.02)
    assert 2_000 - MOST - 20 <= machine.refused <= 2_000 - MOST


@pytest.mark.parametrize("speed", [200, 1_000, 5_000])
def test_when_the_load_falls_nothing_is_refused_any_more(speed: float) -> None:
    machine = Machine(1 / speed)
    machine.load(speed * 3, 0.0, 2.0)
    refused = machine.refused
    machine.load(speed / 2, 2.0, 4.0)
    assert machine.refused - refused <= speed * PATIENCE_SECONDS
    assert max(wait for came, wait in machine.waits if came > 2.5) <= 2 / speed


@pytest.mark.parametrize(("rate", "seconds"), [(100, 0.8), (1_000, 0.45), (100, 1.9)])
def test_what_piles_up_while_the_disk_stands_still_is_taken_and_done(rate: float, seconds: float) -> None:
    machine = Machine(1 / 3_000)
    machine.load(rate, 0.0, 1.0)
    machine.stall_disk(1.0, 1.0 + seconds)
    machine.load(rate, 1.0, 4.0)
    assert machine.refused == 0


def test_a_disk_that_stands_still_for_longer_closes_the_door() -> None:
    machine = Machine(1 / 3_000)
    machine.stall_disk(1.0, 60.0)
    machine.load(100, 1.0, 60.0)
    assert len(machine.queue) <= 100 * 2 * LONGEST_STALL_SECONDS


def test_a_disk_that_stands_still_under_overload_lets_in_no_more_than_ever() -> None:
    machine = Machine(1 / 1_000)
    machine.load(3_000, 0.0, 1.0)
    machine.stall_disk(1.0, 1.8)
    machine.load(3_000, 1.0, 1.8)
    assert len(machine.queue) <= max(MOST, 1_000 * (BOUND + 0.8) * 1.1)
    machine.load(3_000, 1.8, 5.0)
    assert max(wait for came, wait in machine.waits if came > 3.5) <= BOUND * 1.3


def test_the_pause_asked_for_is_the_time_that_the_work_in_hand_takes_within_bounds() -> None:
    assert Pressure().retry_after(100) == 1.0
    assert Pressure(rate=10).retry_after(50) == 5.0
    assert Pressure(rate=10).retry_after(5_000) == 30.0
