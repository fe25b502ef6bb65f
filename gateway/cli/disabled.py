"""`oclaw disabled`: addresses that asked never to be sent to again (HTTP 410), which a person may enable."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.control import Control
from gateway.cli.frame import Family, with_config, with_json
from gateway.cli.show import show


@click.group("disabled", cls=Family)
def command() -> None:
    """List addresses that asked never to be sent to again, and enable them."""


@command.command("list")
@with_config
@with_json
def list_(config: Path, as_json: bool) -> None:
    """List them, with their channels."""
    show(Control(config).get("disabled"), as_json=as_json)


@command.command("enable")
@click.argument("channel")
@click.argument("address")
@with_config
@with_json
def enable(channel: str, address: str, config: Path, as_json: bool) -> None:
    """Let an address be sent to again; `oclaw dead retry` sends what it missed."""
    show(Control(config).post("disabled", body={"channel": channel, "address": address}), as_json=as_json)
