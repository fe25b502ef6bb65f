"""The restart policy: growing pauses, a limit, and a slate wiped by health."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.supervise.policy import GiveUp, Pause, Policy, decide, remember

POLICY = Policy(first_pause_seconds=1, longest_pause_seconds=8, crashes=6, within_seconds=100, healthy_seconds=50)


def test_pauses_double_up_to_the_longest():
    moments = (0.0, 1.0, 2.0, 3.0, 4.0)
    pauses = [decide(moments[:n], POLICY, spread=1.0) for n in range(1, 6)]
    assert pauses == [Pause(1.0), Pause(2.0), Pause(4.0), Pause(8.0), Pause(8.0)]


def test_it_gives_up_at_the_last_crash_it_bears_and_says_why():
    assert decide((0.0, 1.0, 2.0, 3.0, 4.0, 15.0), POLICY, spread=0.5) == GiveUp("it crashed 6 times within 15 s")


def test_a_healthy_run_wipes_the_slate():
    assert remember((1.0, 2.0), POLICY, now=60.0, healthy_since=10.0) == (60.0,)


def test_a_short_run_does_not_wipe_the_slate():
    assert remember((1.0, 2.0), POLICY, now=59.0, healthy_since=10.0) == (1.0, 2.0, 59.0)


def test_old_crashes_fade():
    assert remember((1.0, 70.0), POLICY, now=110.0, healthy_since=None) == (70.0, 110.0)


@settings(max_examples=100)
@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0.001, 100), st.floats(0.001, 1000))
def test_any_pause_lies_between_half_and_all_of_its_bounds(count, spread, first, longest):
    policy = Policy(first_pause_seconds=first, longest_pause_seconds=longest, crashes=10_000)
    answer = decide(tuple(float(n) for n in range(count)), policy, spread=spread)
    assert isinstance(answer, Pause)
    assert min(first, longest) / 2 <= answer.seconds <= longest
