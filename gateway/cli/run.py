"""`oclaw run`: the daemon, in the foreground, until SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.frame import with_config


@click.command("run")
@with_config
def command(config: Path) -> None:
    """Run the gateway in the foreground; SIGTERM drains it, SIGHUP reads the configuration again."""
    from gateway.daemon import run

    sys.exit(run(config))
