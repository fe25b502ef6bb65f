"""`oclaw trace ID`: one message's whole life, as one table in the order in which it happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli.control import Control
from gateway.cli.frame import with_config, with_json
from gateway.cli.show import show


@click.command("trace")
@click.argument("envelope_id", metavar="ID")
@with_config
@with_json
def command(envelope_id: str, config: Path, as_json: bool) -> None:
    """Show what happened to the message with this ID: stages, verdicts, replies and attempts."""
    show_trace(config, envelope_id, as_json=as_json)


def show_trace(config: Path, envelope_id: str, *, as_json: bool) -> None:
    """Ask for a message's life, and print it."""
    trace = Control(config).get("trace", envelope_id)
    show(trace if as_json else as_read(trace), as_json=as_json)


def as_read(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Put the steps of the replies among the message's own, each with its time and the time since the arrival."""
    deliveries = trace.get("deliveries", ())
    steps = [*trace.get("steps", ()), *(step for delivery in deliveries for step in _attempts(delivery))]
    came = trace.get("received_at", 0.0)
    return {
        **trace,
        "steps": [_told(step, came) for step in sorted(steps, key=lambda step: float(step["at"]))],
        "deliveries": [{k: v for k, v in delivery.items() if k != "steps"} for delivery in deliveries],
    }


def _attempts(delivery: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    index = delivery["id"].rpartition(".")[2]
    for step in delivery.get("steps", ()):
        yield {**step, "by": step.get("by") or f"reply {index} to {delivery['channel']}"}


def _told(step: Mapping[str, Any], came: float) -> dict[str, Any]:
    at = float(step["at"])
    time = datetime.fromtimestamp(at).isoformat(" ", "milliseconds")
    why = {"why": step["why"]} if step.get("why") else {}
    others = {k: v for k, v in step.items() if k not in ("at", "why") and v not in (0, 0.0, "")}
    return {"at": time, "after": f"{at - came:.3f} s", "stage": "", "outcome": "", "by": "", **others, **why}
