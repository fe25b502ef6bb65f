"""`oclaw channels`: which channel types there are and what they can do, and the beginning of a new one."""

from __future__ import annotations

import re
from pathlib import Path

import click

from gateway.cli.frame import Family, NotDone, with_json
from gateway.cli.show import show

TEMPLATE = Path(__file__).with_name("channel_template")
_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")


@click.group("channels", cls=Family)
def command() -> None:
    """List channel types, or begin a package with a new one."""


@command.command("list")
@with_json
def list_(as_json: bool) -> None:
    """Show every channel type: transports, what it hears and says, limits, how it is tested."""
    from gateway.channels.cards import CARDS
    from gateway.plugins import PluginTable
    from gateway.ports import Card

    table = PluginTable()
    rows = []
    for name in table.names("channels"):
        plugin = table.find("channels", name)
        card = CARDS.get(name) or getattr(plugin, "CARD", None) or Card()
        rows.append(
            {
                "type": name,
                "ready": callable(getattr(plugin, "build", None)),
                "transports": ", ".join(card.transports),
                "hears": ", ".join(card.hears),
                "says": ", ".join(card.says),
                "limits": card.limits,
                "tested": card.tested,
            }
        )
    if as_json:
        show(rows, as_json=True)
        return
    for row in rows:
        state = "" if row["ready"] else " (not in this version)"
        click.echo(click.style(f"{row['type']}{state}", bold=True))
        for key in ("transports", "hears", "says", "limits", "tested"):
            if row[key]:
                click.echo(f"    {key + ':':<12}{row[key]}")


@command.command("new")
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where to put it.")
def new(name: str, into: Path) -> None:
    """Begin a package with a channel of your own: it runs, and its tests are the contract of all channels."""
    if not _NAME.fullmatch(name):
        raise NotDone(f'"{name}" is no name for a channel type: small letters, digits and _, beginning with a letter')
    from gateway.plugins import BUILT_IN

    if name in BUILT_IN["channels"]:
        raise NotDone(
            f"{name} is built in, and a built-in channel goes before an installed one of its name: choose another"
        )
    folder = into / f"oclaw-{name}"
    if folder.exists():
        raise NotDone(f"{folder} is there already")
    for source in sorted(TEMPLATE.rglob("*.txt")):
        target = folder / str(source.relative_to(TEMPLATE)).removesuffix(".txt").replace("NAME", name)
        text = source.read_text("utf-8").replace("NAME", name).replace("SHOUTED", name.upper())
        text = text.replace("TITLE", name.replace("_", " ").title())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        click.echo(f"wrote {target}")
    click.echo(f"\nNext: cd {folder}, pip install -e '.[test]', python -m pytest. README.md there goes on.")
