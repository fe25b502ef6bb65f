"""`oclaw journal`: look after the journal's file, also while the gateway runs. Contents stay sealed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import click

from gateway.cli.frame import Family, NotDone, with_config, with_json
from gateway.cli.show import moment, show
from gateway.config.load import state_of


@click.group("journal", cls=Family)
def command() -> None:
    """Sum up, check, export, compact and back up the journal."""


@command.command("info")
@with_config
@with_json
def info_(config: Path, as_json: bool) -> None:
    """Show its size, its rows by state and how far back it goes."""
    from msgspec.structs import asdict

    from gateway.journal import maintenance

    answer = asdict(maintenance.info(_place(config)))
    if not as_json:
        answer |= {name: moment(value) if value else "" for name, value in answer.items() if name.endswith("_at")}
        answer["rows"] = {name: count for name, count in answer["rows"].items() if count}
    show(answer, as_json=as_json)


@command.command("check")
@with_config
@with_json
def check_(config: Path, as_json: bool) -> None:
    """Read the whole file; exit 1 when something is wrong with it."""
    from gateway.journal import maintenance

    problems = maintenance.check(_place(config))
    show(problems if as_json or problems else "whole", as_json=as_json)
    if problems:
        raise NotDone("the journal is not whole; oclaw journal export saves what can be read")


@command.command("export")
@with_config
@click.option("--to", "target", type=click.File("wb"), default="-", help="A file; standard output without it.")
def export_(config: Path, target: IO[bytes]) -> None:
    """Write every row as a line of JSON; leaps over what a damaged file cannot give."""
    from gateway.journal import maintenance

    for line in maintenance.export(_place(config)):
        target.write(line + b"\n")
    target.flush()  # an empty export is a file, too, and a full disk is told of before the end


@command.command("compact")
@with_config
@with_json
def compact_(config: Path, as_json: bool) -> None:
    """Give free space in the file back to the disk."""
    from gateway.journal import maintenance

    show({"bytes_freed": maintenance.compact(_place(config))}, as_json=as_json)


@command.command("backup")
@with_config
@with_json
@click.argument("target", type=click.Path(path_type=Path))
def backup_(config: Path, target: Path, as_json: bool) -> None:
    """Copy a consistent snapshot to TARGET, which must not exist. Keep a copy of the key ring elsewhere."""
    from gateway.journal import maintenance

    show({"backup": str(target), "bytes": maintenance.backup(_place(config), target)}, as_json=as_json)


def _place(config: Path) -> Path:
    from gateway.journal import FILE_NAME

    return state_of(config, os.environ) / FILE_NAME
