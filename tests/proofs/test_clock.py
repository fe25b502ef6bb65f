"""The wall clock of a real daemon leaps a year ahead and back: it goes on, and knows what it has seen."""

from __future__ import annotations

import signal
import sys
import time
from functools import partial
from random import Random

import trio

from gateway.testing.proof.life import open_life
from gateway.testing.proof.rounds import finished
from gateway.testing.proof.scene import open_scene
from gateway.testing.proof.sender import Sender
from tests.proofs.talk import QUITE

YEAR = 365 * 86_400.0


async def test_leaps_of_a_year_ahead_and_back_repeat_lose_and_reorder_nothing(folder, survived):
    off, ports = folder / "off", [0]

    def leap_to(seconds: float) -> None:
        off.with_suffix(".new").write_text(str(seconds))
        off.with_suffix(".new").rename(off)  # the daemon reads it at every look at the clock

    def clock() -> float:
        return time.time() + float(off.read_text())

    async with open_scene(folder) as scene:
        scene.program = (sys.executable, "-m", "tests.proofs.misbehaving", "leaping-clock", str(off))
        sender = Sender(scene.account, scene.secret, lambda: ports[-1], chance=Random(1), clock=clock)

        async def say(leap: float, names: str) -> None:
            leap_to(leap)
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(partial(sender.room, name, pause=0.0, messages=20))

        async def live(*said: tuple[float, str]) -> None:
            leap_to(said[0][0])
            async with open_life(scene) as life:
                ports.append(life.port)
                for leap, names in said:
                    await say(leap, names)
                await finished(scene, QUITE)
                life.process.send_signal(signal.SIGTERM)
                with trio.fail_after(QUITE):
                    assert await life.process.wait() == 0

        # What was said before a leap is said again after it, in the same life and in the next: all of it is known.
        await live((0.0, "abc"), (YEAR, "abcd"), (0.0, "abcde"))
        await live((YEAR, "abcdef"), (-YEAR, "abcdefg"))
        tally = scene.account.tally()
        assert tally.kept and tally.repeated == 0 and tally.accepted == 7 * 20, tally
        survived("a wall clock that leaps a year ahead and back, and a start", tally)
