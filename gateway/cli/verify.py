"""`oclaw verify`: the delivery promises proved on this machine.

A scratch gateway with a state directory of its own takes signed webhooks, is killed at random moments, started
again, and every message is accounted for. The running gateway and its configuration are not touched.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.frame import NOT_DONE, NotDone, with_json
from gateway.cli.show import show

if TYPE_CHECKING:
    from gateway.testing.proof import Plan, Tally


@click.command("verify")
@click.option("--kills", default=5, show_default=True, type=click.IntRange(0, 10_000), help="How often to kill it.")
@click.option("--rate", default=300.0, show_default=True, type=click.FloatRange(1, 100_000), help="Messages a second.")
@click.option("--conversations", default=40, show_default=True, type=click.IntRange(1, 5000))
@click.option("--seed", default=1, show_default=True, help="Another seed kills at other moments.")
@click.option(
    "--disk", type=click.Path(path_type=Path, exists=True, file_okay=False), help="A folder on the disk to try."
)
@with_json
def command(kills: int, rate: float, conversations: int, seed: int, disk: Path | None, as_json: bool) -> None:
    """Kill a scratch gateway under load and account for every message; exit 1 when one is lost or out of order."""
    from gateway.testing.proof import Plan

    plan = Plan(kills=kills, rate=rate, rooms=conversations, seed=seed, longest_life=1.0)
    tally = _proved(plan, disk)
    show(_told(tally), as_json=as_json)
    if not tally.kept:
        sys.exit(NOT_DONE)


def _proved(plan: Plan, disk: Path | None) -> Tally:
    import trio

    from gateway.testing.proof import NotReady, open_scene, prove

    async def on_scratch(folder: Path) -> Tally:
        async with open_scene(folder) as scene:
            return await prove(scene, plan)

    with tempfile.TemporaryDirectory(prefix="oclaw-verify-", dir=disk) as folder:
        try:
            return trio.run(on_scratch, Path(folder))
        except* NotReady as group:
            raise NotDone(f"the scratch gateway did not start:\n{group.exceptions[0]}") from None


def _told(tally: Tally) -> dict[str, object]:
    return {
        "kept": tally.kept,
        "kills": tally.kills,
        "seconds": round(tally.seconds, 1),
        "sent": tally.sent,
        "accepted": tally.accepted,
        "delivered": tally.delivered,
        "repeated": tally.repeated,
        "duplicated": tally.duplicated,
        "reordered": tally.reordered,
        "lost": tally.lost,
    }
