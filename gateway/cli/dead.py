"""`oclaw dead`: the letters that gave up, kept until somebody decides. What was rejected is no such letter."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from gateway.cli.control import Control
from gateway.cli.deciding import confirm, decide
from gateway.cli.frame import Family, with_config, with_json
from gateway.cli.show import json_text, show, show_some
from gateway.cli.trace import as_read


@click.group("dead", cls=Family)
def command() -> None:
    """List, show, retry, drop and export dead letters.

    A message that a hook or rule rejected is none: its sender may have been told, so it is final. What a person
    is to judge is put aside instead: hold(...) in a rule, Hold or policy = "hold" for a hook, then "oclaw held".
    """


@command.command("list")
@click.option("--kind", type=click.Choice(["inbound", "delivery"]), help="Only messages that came in, or only replies.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@with_config
@with_json
def list_(kind: str | None, limit: int, config: Path, as_json: bool) -> None:
    """List dead letters, the latest change first."""
    show_some(Control(config).get("dead", kind=kind, limit=limit), limit, as_json=as_json)


@command.command("show")
@click.argument("letter_id", metavar="ID")
@with_config
@with_json
def show_(letter_id: str, config: Path, as_json: bool) -> None:
    """Show one dead letter and why it gave up."""
    story = Control(config).get("dead", letter_id)
    show(story if as_json else {**story, "trace": as_read(story["trace"])}, as_json=as_json)


@command.command("retry")
@click.argument("letter_ids", metavar="[ID...]", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that there are, the oldest first.")
@with_config
@with_json
def retry(letter_ids: tuple[str, ...], every: bool, config: Path, as_json: bool) -> None:
    """Try dead letters again; each re-enters at the tail of its conversation, marked as replayed."""
    if bool(letter_ids) == every:
        raise click.UsageError("Name the letters by their ids, or say --all.")
    control = Control(config)
    chosen = sorted(_all(control), key=_age) if every else letter_ids
    decide(control, "dead", chosen, "retry", as_json=as_json)


def _all(control: Control) -> list[str]:
    return [story["letter"]["id"] for story in control.lines("dead", "export")]


def _age(letter_id: str) -> tuple[str, int]:
    """A message's id begins with its time; a reply's has its number behind a dot."""
    envelope_id, _, index = letter_id.partition(".")
    return envelope_id, int(index or 0)


@command.command("drop")
@click.argument("letter_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
@with_json
def drop(letter_ids: tuple[str, ...], yes: bool, config: Path, as_json: bool) -> None:
    """Drop dead letters, or replies that still wait, for good."""
    if not yes:
        confirm(f"Drop {len(letter_ids)} letter(s) for good?")
    decide(Control(config), "dead", letter_ids, "drop", as_json=as_json)


@command.command("export")
@with_config
@click.option("--to", "target", type=click.File("w", "utf-8"), default="-", help="A file; standard output without it.")
def export(config: Path, target: IO[str]) -> None:
    """Write every dead letter with its whole story, readable, as a line of JSON."""
    for story in Control(config).lines("dead", "export"):
        target.write(json_text(story) + "\n")
    target.flush()  # an empty export is a file, too, and a full disk is told of before the end
