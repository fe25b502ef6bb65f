"""`oclaw held`: messages that a rule or a hook set aside for a person."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.control import Control
from gateway.cli.frame import with_config, with_json
from gateway.cli.show import show


@click.group("held")
def command() -> None:
    """List and release messages that a rule or hook holds."""


@command.command("list")
@with_config
@with_json
def list_(config: Path, as_json: bool) -> None:
    """List what is held, and why."""
    show(Control(config).get("held"), as_json=as_json)


@command.command("release")
@click.argument("envelope_ids", metavar="ID...", nargs=-1, required=True)
@with_config
@with_json
def release(envelope_ids: tuple[str, ...], config: Path, as_json: bool) -> None:
    """Let held messages go on their way."""
    control = Control(config)
    for envelope_id in envelope_ids:
        show(control.post("held", envelope_id, "release") or {"id": envelope_id, "done": "release"}, as_json=as_json)
