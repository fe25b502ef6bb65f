"""Kill the real daemon at random under load: nothing acknowledged is lost, nothing reordered, repetitions marked."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from gateway.testing.proof import Plan, Tally, open_scene, prove


async def killed(plan: Plan) -> Tally:
    with tempfile.TemporaryDirectory() as folder:  # short: a Unix socket's path may have 107 bytes
        async with open_scene(Path(folder)) as scene:
            return await prove(scene, plan)


async def test_twenty_kills_at_random_lose_nothing_and_reorder_nothing(survived):
    tally = await killed(Plan(kills=20, longest_life=0.4, seed=1))
    assert tally.kept and tally.kills == 20, tally
    survived("SIGKILL at 20 random moments under load, real daemon", tally)
    assert tally.accepted > 5 * tally.kills, "every life had something to lose"


@pytest.mark.prove
async def test_two_hundred_kills_at_random_lose_nothing_and_reorder_nothing(survived):
    tally = await killed(Plan(kills=200, rate=600.0, longest_life=1.0, seed=2))
    assert tally.kept and tally.kills == 200, tally
    survived("SIGKILL at 200 random moments under load, real daemon", tally)
