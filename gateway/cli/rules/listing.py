"""`oclaw rules list`: the rules in force and what each of them did since the start."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.control import Control
from gateway.cli.frame import with_config, with_json
from gateway.cli.show import moment, show


@click.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@with_config
@with_json
def command(limit: int, config: Path, as_json: bool) -> None:
    """List the rules of the running gateway, those that matched most first."""
    rows = Control(config).get("rules", limit=limit)
    if not as_json:
        rows = [{name: _told(name, value) for name, value in row.items()} for row in rows]
    show(rows, as_json=as_json)


def _told(name: str, value: object) -> object:
    if name == "last_match_at":
        return moment(value) if isinstance(value, float) and value else ""
    return "" if value in (0, False) else value
