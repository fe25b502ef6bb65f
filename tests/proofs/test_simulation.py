"""Whole lives of a gateway from seeds: whatever the weather, the account comes out even.

A failure names its seed; `PYTHONPATH=. python -m tests.support.weather SEED` repeats it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from gateway.testing.proof import Tally
from tests.support import weather

BLOCK = 30


def simulated(seeds: range) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in seeds:
        world = weather.run(seed)
        assert not world.wrong, f"seed {seed}: {world.wrong}"
        counts += world.counts
    return counts


def tally_of(counts: Counter[str]) -> Tally:
    """Put what was simulated without a complaint into the table's terms."""
    accepted = counts["accepted"]
    return Tally(
        sent=accepted,
        accepted=accepted,
        delivered=accepted,
        repeated=counts["repeated"],
        duplicated=0,
        reordered=0,
        lost=0,
    )


@pytest.mark.parametrize("block", range(10))
def test_three_hundred_schedules_of_faults_lose_reorder_and_repeat_nothing_in_silence(block, survived):
    counts = simulated(range(block * BLOCK, (block + 1) * BLOCK))
    survived("300 schedules of random faults of every kind, in memory", tally_of(counts))
    assert counts["accepted"] > 300 and counts["crashes"] > 10 and counts["repeated"]


@pytest.mark.prove
@pytest.mark.parametrize("thousand", range(1, 11))
def test_ten_thousand_schedules_of_faults_lose_reorder_and_repeat_nothing_in_silence(thousand, survived):
    counts = simulated(range(thousand * 1000, (thousand + 1) * 1000))
    survived("10,000 schedules of random faults of every kind, in memory", tally_of(counts))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("seed", [559, 127])
def test_a_crash_at_each_commit_just_before_it_or_just_after_loses_nothing(seed, kept, survived):
    commit, reached = 1, True
    while reached:
        world = weather.run(seed, crash_at=(commit, kept))
        assert not world.wrong, f"seed {seed}, commit {commit}, kept {kept}: {world.wrong}"
        survived("a crash at each commit, just before and just after", tally_of(world.counts))
        reached, commit = world.struck, commit + 1
    assert commit > 15


@pytest.mark.parametrize("seed", [3, 22])
def test_a_crash_after_each_step_of_any_task_loses_nothing(seed, survived):
    """Every twelfth step here, a different one of them for each seed; all of them below."""
    assert stepped(seed, start=1 + seed % 12, stride=12, survived=survived) > 10


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(4))
def test_a_crash_after_every_single_step_loses_nothing(seed, survived):
    assert stepped(seed, start=1, stride=1, survived=survived) > 100


def stepped(seed: int, *, start: int, stride: int, survived: Callable[[str, Tally], None]) -> int:
    step, reached, times = start, True, 0
    while reached:
        world = weather.run(seed, crash_after=step)
        assert not world.wrong, f"seed {seed}, step {step}: {world.wrong}"
        survived("a crash after a step of any task, all steps in turn", tally_of(world.counts))
        reached, step, times = world.struck, step + stride, times + 1
    return times
