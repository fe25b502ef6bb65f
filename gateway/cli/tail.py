"""`oclaw tail`: every notice of the running gateway as it happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gateway.cli.control import Control
from gateway.cli.frame import with_config, with_json
from gateway.cli.show import json_text, text

COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}


@click.command("tail")
@click.option("--channel", default="", help="Only what concerns this channel.")
@click.option("--notice", default="", help='Only notices whose name holds this, such as "Rejected".')
@with_config
@with_json
def command(channel: str, notice: str, config: Path, as_json: bool) -> None:
    """Print each notice as it happens, until interrupted."""
    for one in Control(config).lines("tail"):
        if channel and one.get("channel") != channel and one.get("notice") != "Gap":
            continue
        if notice.lower() not in str(one.get("notice", "")).lower():
            continue
        click.echo(json_text(one) if as_json else line(one))


def line(one: Mapping[str, Any]) -> str:
    """Return a notice as one line: the time, its name, then its fields."""
    at = time.strftime("%H:%M:%S", time.localtime(one.get("at") or time.time()))
    name = click.style(f"{one.get('notice', 'Notice'):<22}", fg=COLOURS.get(str(one.get("level")), "cyan"))
    fields = {k: v for k, v in one.items() if k not in ("at", "notice", "level") and v not in ("", None)}
    return f"{at} {name} " + " ".join(f"{key}={text(value)}" for key, value in fields.items())
