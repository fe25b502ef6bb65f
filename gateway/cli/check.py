"""`oclaw check`: everything that is wrong with configuration, rules and pipelines, at once.

Nothing is built, bound or written; a running gateway is not asked. Exits 78 on any fault.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.frame import WRONG_CONFIGURATION, readable, with_config, with_json
from gateway.cli.show import show


@click.command("check")
@with_config
@with_json
def command(config: Path, as_json: bool) -> None:
    """Say everything that is wrong with the configuration, rules and pipelines."""
    from gateway.cli.faults import examine

    found = examine(config)
    if as_json:
        show({"faults": found.faults, "notes": found.notes, "checked": found.checked}, as_json=True)
    else:
        for fault in found.faults:
            click.echo(readable(fault), err=True)
        for note in found.notes:
            click.echo(readable(f"note: {note}"), err=True)
        count = len(found.faults)
        verdict = "no faults" if not count else "1 fault" if count == 1 else f"{count} faults"
        click.echo(f"{config}: {verdict} in {', '.join(found.checked)}", err=bool(count))
    if found.faults:
        sys.exit(WRONG_CONFIGURATION)
