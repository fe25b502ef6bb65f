"""`oclaw bench`: what the gateway does on this machine, with the operator's own rules and disk.

Single parts first, then a whole gateway: a scratch process on conf/examples/bench, which a load
generator in this process sends to and whose replies it takes. A running gateway is not touched.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.frame import with_config, with_json

if TYPE_CHECKING:
    from gateway.cli.measure.figures import FlowFigures, PartFigures


# Far beyond what one generator can send.
MOST_RATE = 1_000_000.0


def _rates(_: click.Context, __: click.Parameter, given: str) -> list[float]:
    try:
        rates = [float(each) for each in given.split(",") if each.strip()]
    except ValueError:
        raise click.BadParameter(f'"{given}" is not a list of numbers such as 100,1000') from None
    if not all(0 < rate <= MOST_RATE for rate in rates):
        raise click.BadParameter(f"a rate is a number above 0, and at most {MOST_RATE:,.0f}")
    return rates


@click.command("bench")
@click.option(
    "--rates", default="100,1000", show_default=True, callback=_rates, metavar="N,…", help="Messages a second."
)
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=5.0, show_default=True, help="For each rate.")
@click.option("--starts", type=click.IntRange(1, 100), default=3, show_default=True, help="Cold starts.")
@click.option("--search/--no-search", default=True, help="Look for the highest rate it sustains.", show_default=True)
@click.option("--flow/--no-flow", "flow", default=True, help="Measure a whole gateway.", show_default=True)
@click.option(
    "--parts/--no-parts", "parts", default=True, help="Measure sealing, rules and journal.", show_default=True
)
@click.option(
    "--disk",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    help="The folder whose disk is measured [that of the state directory].",
)
@with_config
@with_json
def command(
    rates: list[float],
    seconds: float,
    starts: int,
    search: bool,
    flow: bool,
    parts: bool,
    disk: Path | None,
    config: Path,
    as_json: bool,
) -> None:
    """Measure sealing, rules, journal and a whole gateway on this machine; takes about a minute."""
    import msgspec

    from gateway.cli.measure.figures import Report
    from gateway.cli.measure.machine import machine
    from gateway.cli.measure.own import own_disk
    from gateway.cli.measure.table import lines

    disk = disk or own_disk(config)
    found = Report(
        machine=machine(),
        parts=_parts(config, disk, min(seconds, 2.0)) if parts else None,
        flow=_flow(disk, rates, seconds, starts, search) if flow else None,
    )
    click.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(lines(found)))


def _parts(config: Path, disk: Path, seconds: float) -> PartFigures:
    from gateway.cli.measure.own import own_rules
    from gateway.cli.measure.parts import measure_parts

    _tell("sealing, rules, journal")
    return measure_parts(*own_rules(config), disk, seconds)


def _flow(disk: Path, rates: list[float], seconds: float, starts: int, search: bool) -> FlowFigures:
    from gateway.cli.measure.flow import measure_flow

    return measure_flow(disk, rates, seconds, search=search, starts=starts, tell=_tell)


def _tell(what: str) -> None:
    """Say what goes on to whoever watches; a file or a program is not told."""
    if sys.stderr.isatty():
        click.echo(f"… {what}", err=True)
