"""A storm of one kind of line is cut short and summed up; other kinds never notice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.throttle import SUPPRESS, Throttle


def test_beyond_its_share_a_kind_is_suppressed_and_then_summed_up():
    throttle = Throttle(lines_per_second=2)
    assert [throttle.admit(int, 0.1 * n) for n in range(5)] == [0, 0, SUPPRESS, SUPPRESS, SUPPRESS]
    assert throttle.admit(str, 0.5) == 0
    assert throttle.admit(int, 1.5) == 3
    assert throttle.admit(int, 1.6) == 0


def test_a_clock_that_is_set_back_silences_nothing():
    throttle = Throttle(lines_per_second=1)
    assert [throttle.admit(int, 100.0), throttle.admit(int, 100.0)] == [0, SUPPRESS]
    assert throttle.admit(int, 5.0) == 1


@settings(max_examples=100)
@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 5))
def test_every_line_is_either_written_or_counted(steps, most):
    throttle, now, written, told = Throttle(most), 0.0, 0, 0
    for step in steps:
        now += step
        answer = throttle.admit(int, now)
        written, told = written + (answer != SUPPRESS), told + max(answer, 0)
    told += max(0, throttle.admit(int, now + 10))
    assert written + told == len(steps)
