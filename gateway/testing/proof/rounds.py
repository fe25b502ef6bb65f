"""Load on a daemon that is killed again and again, then time to finish, then the account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import trio
from msgspec import Struct

from gateway.testing.proof.account import Tally
from gateway.testing.proof.life import Life, open_life
from gateway.testing.proof.scene import Scene
from gateway.testing.proof.sender import Sender


class Plan(Struct, frozen=True, kw_only=True):
    """How hard: `rate` messages a second over `rooms`, and `kills`, each within `longest_life` seconds of readiness."""

    kills: int = 5
    rooms: int = 40
    rate: float = 400.0
    longest_life: float = 0.6
    seed: int = 1
    finish_seconds: float = 60.0


class _Now:
    """The life that is on; `port` is 0 in between."""

    def __init__(self) -> None:
        self.life: Life | None = None

    def port(self) -> int:
        return self.life.port if self.life is not None else 0


async def prove(
    scene: Scene, plan: Plan = Plan(), *, meanwhile: Callable[[Life], Awaitable[None]] | None = None
) -> Tally:
    """Kill the daemon as planned under load, let the last life finish, and add up.

    `meanwhile` runs beside the last life, before the load stops.
    """
    began, now, chance = trio.current_time(), _Now(), Random(plan.seed)
    sender = Sender(scene.account, scene.secret, now.port, chance=Random(plan.seed + 1))
    async with trio.open_nursery() as nursery:
        for number in range(plan.rooms):
            nursery.start_soon(_room, sender, f"r{number}", plan)
        for _ in range(plan.kills):
            async with open_life(scene) as now.life:
                await trio.sleep(chance.random() * plan.longest_life)
                now.life.process.kill()
            now.life = None
        async with open_life(scene) as now.life:
            if meanwhile is not None:
                await meanwhile(now.life)
            await trio.sleep(plan.longest_life)
            await _heard(scene, plan.finish_seconds)
            sender.stopping.set()
            await finished(scene, plan.finish_seconds)
        nursery.cancel_scope.cancel()
    return scene.account.tally(kills=plan.kills, seconds=trio.current_time() - began)


async def _heard(scene: Scene, seconds: float) -> None:
    """Return when anything was acknowledged, or the time is over: an account of nothing proves nothing."""
    with trio.move_on_after(seconds):
        while not scene.account.accepted:  # noqa: ASYNC110 (the account has no voice)
            await trio.sleep(0.05)


async def finished(scene: Scene, seconds: float) -> None:
    """Return when everything acknowledged has arrived and nothing more comes, or the time is over."""
    with trio.move_on_after(seconds):
        accepted, heard, still = -1, -1, 0
        while still < 5:
            await trio.sleep(0.1)
            moved = scene.account.waiting or (scene.account.accepted, scene.sink.heard) != (accepted, heard)
            still = 0 if moved else still + 1
            accepted, heard = scene.account.accepted, scene.sink.heard


async def _room(sender: Sender, name: str, plan: Plan) -> None:
    await sender.room(name, pause=plan.rooms / plan.rate)
