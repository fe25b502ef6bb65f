"""`oclaw rules`: edit rules on a live gateway, told before it goes live what is wrong and what would change.

One file a command. All but `list` work without a running gateway: the names that rules may use stand in the
configuration folder.
"""

from __future__ import annotations

import click

from gateway.cli.frame import Family
from gateway.cli.rules import bench, check, explain, fmt, lint, listing, lsp, replay, test


@click.group("rules", cls=Family)
def command() -> None:
    """Check, format, test, explain, replay, lint and measure rules."""


for each in (check, fmt, test, lint, explain, replay, listing, bench, lsp):
    command.add_command(each.command)
