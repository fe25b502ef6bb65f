"""`oclaw trace ID`: one message's whole life."""

from __future__ import annotations

from pathlib import Path

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
    show(Control(config).get("trace", envelope_id), as_json=as_json)
