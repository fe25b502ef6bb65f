"""`oclaw doctor`: try what a configuration needs to work, and say what to do about what does not.

`oclaw check` judges files; this connects. Nothing is written or sent; a running gateway is asked for its
status and no more.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.frame import NOT_DONE, readable, with_config, with_json
from gateway.cli.show import show

if TYPE_CHECKING:
    from gateway.ports import Finding

Tell = Callable[[str, "Finding"], None]


@click.command("doctor")
@click.argument("channel", required=False, default="")
@with_config
@with_json
def command(channel: str, config: Path, as_json: bool) -> None:
    """Try machine, state directory, port and every channel, or CHANNEL alone; exits 1 when one is not in order."""
    findings: list[tuple[str, Finding]] = []

    def tell(place: str, finding: Finding) -> None:
        findings.append((place, finding))
        if not as_json:
            _print(place, finding)

    everything(config, tell, only=channel)
    if as_json:
        rows = [{"place": place, "ok": each.ok, "what": each.what, "way_out": each.way_out} for place, each in findings]
        show(rows, as_json=True)
    if not all(finding.ok for _, finding in findings):
        sys.exit(NOT_DONE)


def everything(config: Path, tell: Tell, *, only: str = "") -> None:
    """Try one thing after the other; the channels come last, and only with a configuration that is right."""
    import trio

    from gateway.cli.checkup import machine, place
    from gateway.cli.checkup.certificate import certificate
    from gateway.cli.checkup.channels import try_channels
    from gateway.cli.faults import examine, tryable
    from gateway.config.load import state_of
    from gateway.plugins import PluginTable
    from gateway.ports import Finding

    tell("machine", machine.clock())
    tell("machine", machine.parser())
    found = examine(config)
    if found.faults:
        what = f"{len(found.faults)} faults in {config}" if len(found.faults) > 1 else found.faults[0]
        tell("configuration", Finding(ok=False, what=what, way_out=f"See oclaw check --config {config}."))
        return
    tell("configuration", Finding(ok=True, what=f"no faults in {', '.join(found.checked)}"))
    plugins = PluginTable(config / "hooks")
    settings, left = tryable(config, plugins)
    for where in [each for each in left if only in ("", each.removeprefix("channels."))]:
        tell(where, Finding(ok=True, what=left[where]))
    if not only:
        tell("machine", machine.files(settings.listen.max_connections))
        for finding in place.state(state_of(config, os.environ)):
            tell("state", finding)
        for finding in place.port(settings.listen.addresses, config):
            tell("port", finding)
        for finding in certificate(settings, time.time()):
            tell("certificate", finding)
    if f"channels.{only}" not in left:
        trio.run(try_channels, settings, plugins, tell, only)


def _print(place: str, finding: Finding) -> None:
    mark = click.style("NOT", fg="red", bold=True)
    if finding.ok:
        mark = click.style("!! ", fg="yellow", bold=True) if finding.way_out else click.style("ok ", fg="green")
    click.echo(f"{mark}  {place}: {readable(finding.what)}")  # which may be the words of a server
    if finding.way_out:
        click.echo(f"     {readable(finding.way_out)}")
