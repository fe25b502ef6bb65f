"""`oclaw rules test`: run the TEST blocks of the rule files and of the *.cases files beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.frame import NOT_DONE, readable, with_config, with_json
from gateway.cli.rules.workplace import Workplace, counted, failures, with_edited
from gateway.cli.show import show


@click.command("test")
@with_edited
@with_config
@with_json
def command(edited: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Run every TEST; exit 1 when one fails, showing what was expected and what came."""
    place = Workplace(config, edited)
    outcomes = list(failures(place.ruleset(), place.cases()))
    failed = [one for one in outcomes if one[3]]
    if as_json:
        rows = [dict(zip(("file", "line", "test", "failures"), one, strict=True)) for one in outcomes]
        show({"passed": len(outcomes) - len(failed), "failed": len(failed), "tests": rows}, as_json=True)
    else:
        for file, line, name, reasons in failed:
            click.echo(readable(f'{file}:{line}: TEST "{name}" fails'))
            for reason in reasons:
                _difference(reason)
        click.echo(f"{counted(len(outcomes), 'test')}, {len(failed)} failed")
    if failed:
        sys.exit(NOT_DONE)


def _difference(reason: str) -> None:
    wanted, _, came = readable(reason).partition(", got ")
    click.echo(click.style(f"  - {wanted}", fg="red"))
    if came:
        click.echo(click.style(f"  + got {came}", fg="green"))
