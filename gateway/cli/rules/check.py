"""`oclaw rules check`: everything that keeps rule files from going live, failing TESTs included. Exits 78 on any."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli.frame import WRONG_CONFIGURATION, readable, with_config, with_json
from gateway.cli.rules.workplace import Workplace, counted, failures, problems_as_rows, with_edited
from gateway.cli.show import show


@click.command("check")
@with_edited
@with_config
@with_json
def command(edited: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Say everything that is wrong with the rules, as a reload would; exit 78 when anything is."""
    from rules import Rejected

    place = Workplace(config, edited)
    made = place.load()
    if isinstance(made, Rejected):
        problems = problems_as_rows(made.problems)
        rendered, rules = [problem.render() for problem in made.problems], 0
    else:
        rules = len(made.rules())
        problems = [
            {"file": file, "line": line, "column": 1, "problem": f'TEST "{name}" fails: {failure}', "hint": ""}
            for file, line, name, failed in failures(made, {})
            for failure in failed
        ]
        rendered = [f"{one['file']}:{one['line']}: {one['problem']}" for one in problems]
    _tell(place, rendered, problems, rules, as_json=as_json)
    if problems:
        sys.exit(WRONG_CONFIGURATION)


def _tell(place: Workplace, rendered: list[str], problems: list[dict[str, Any]], rules: int, *, as_json: bool) -> None:
    if as_json:
        show({"problems": problems, "files": len(place.files), "rules": rules}, as_json=True)
        return
    for text in rendered:
        click.echo(readable(text), err=True)
    files = counted(len(place.files), "file")
    verdict = counted(len(problems), "problem") if problems else f"{counted(rules, 'rule')}, no problems"
    click.echo(f"{place.folder}: {verdict} in {files}", err=bool(problems))
