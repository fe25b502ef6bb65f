"""A proof of the delivery promises on a real daemon: load, kills, and an account of every message.

    async with open_scene(folder) as scene:
        tally = await prove(scene, seconds=10, kills=5)
    assert tally.kept

The sender and the sink speak HTTP by hand, so that nothing under test judges itself.
"""

from __future__ import annotations

from gateway.testing.proof.account import Account, Tally
from gateway.testing.proof.life import Life, NotReady
from gateway.testing.proof.rounds import Plan, prove
from gateway.testing.proof.scene import Scene, open_scene

__all__ = ["Account", "Life", "NotReady", "Plan", "Scene", "Tally", "open_scene", "prove"]
