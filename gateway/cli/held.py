"""`oclaw held`: messages that a rule or a hook set aside for a person."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.control import Control
from gateway.cli.deciding import confirm, decide
from gateway.cli.frame import Family, with_config, with_json
from gateway.cli.show import show_some
from gateway.cli.trace import show_trace


@click.group("held", cls=Family)
def command() -> None:
    """List, show, release and drop messages that a rule or hook holds."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@with_config
@with_json
def list_(limit: int, config: Path, as_json: bool) -> None:
    """List what is held, the oldest first: why, and what would be answered if that is known already."""
    show_some(Control(config).get("held", limit=limit), limit, as_json=as_json)


@command.command("show")
@click.argument("envelope_id", metavar="ID")
@with_config
@with_json
def show_(envelope_id: str, config: Path, as_json: bool) -> None:
    """Show one held message whole: what came in, who holds it, and what its pipeline answered, if it did."""
    show_trace(config, envelope_id, as_json=as_json)


@command.command("release")
@click.argument("envelope_ids", metavar="ID...", nargs=-1, required=True)
@with_config
@with_json
def release(envelope_ids: tuple[str, ...], config: Path, as_json: bool) -> None:
    """Let held messages go on their way."""
    decide(Control(config), "held", envelope_ids, "release", as_json=as_json)


@command.command("drop")
@click.argument("envelope_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
@with_json
def drop(envelope_ids: tuple[str, ...], yes: bool, config: Path, as_json: bool) -> None:
    """Drop held messages for good; nobody is answered."""
    if not yes:
        confirm(f"Drop {len(envelope_ids)} held message(s) for good?")
    decide(Control(config), "held", envelope_ids, "drop", as_json=as_json)
