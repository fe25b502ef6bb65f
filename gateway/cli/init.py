"""`oclaw init`: scaffold a configuration that runs at once and that `oclaw check` accepts.

What is written comes from conf/ and systemd/; an existing file is never touched.
"""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.frame import with_json
from gateway.cli.show import show


def _names(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[str]:
    """Take "a,b" and repeated options alike, each name once."""
    return list(dict.fromkeys(name.strip() for text in given for name in text.split(",") if name.strip()))


@click.command("init")
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--env", type=click.Choice(["dev", "prod"]), default="dev", show_default=True, help="What it is for.")
@click.option("--model", "models", multiple=True, callback=_names, metavar="NAME,…", help="Models to name.")
@click.option("--channel", "channels", multiple=True, callback=_names, metavar="TYPE,…", help="Channels to configure.")
@with_json
def command(directory: Path, env: str, models: list[str], channels: list[str], as_json: bool) -> None:
    """Scaffold a working configuration in DIR; files that exist are kept as they are.

    prod adds the hardened systemd unit with its network policy, and Prometheus alerts.
    """
    from gateway.cli.scaffold import scaffold

    made = scaffold(directory, env=env, models=models, channels=channels)
    if as_json:
        show(made, as_json=True)
        return
    for path in made["written"]:
        click.echo(f"wrote {path}")
    for path in made["kept"]:
        click.echo(f"kept  {path} (it was there already)")
    for note in made["notes"]:
        click.echo(f"\n{note}")
    click.echo(f"\nNext: oclaw check --config {directory}, then oclaw run --config {directory}")
