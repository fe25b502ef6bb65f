"""`oclaw rules lint`: what loads and cannot be meant: never true, never reached, said twice, tried on every message."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.frame import NOT_DONE, readable, with_config, with_json
from gateway.cli.rules.workplace import Workplace, counted, problems_as_rows, with_edited
from gateway.cli.show import show


@click.command("lint")
@click.option("--strict", is_flag=True, help="Exit 1 when there is any finding.")
@with_edited
@with_config
@with_json
def command(strict: bool, edited: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Warn of rules that cannot be meant, and of those that no index serves."""
    from rules import lint

    found = lint(Workplace(config, edited).ruleset())
    if as_json:
        rows = problems_as_rows(tuple(finding.problem for finding in found))
        show([{"code": finding.code, **row} for finding, row in zip(found, rows, strict=True)], as_json=True)
    else:
        for finding in found:
            click.echo(readable(finding.render()))
        click.echo(counted(len(found), "finding") if found else "nothing found")
    if found and strict:
        sys.exit(NOT_DONE)
