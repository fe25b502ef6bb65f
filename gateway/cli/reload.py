"""`oclaw reload`: the running gateway reads its files again."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.control import Control
from gateway.cli.frame import with_config, with_json
from gateway.cli.show import show

# 100,000 rules compiled anew beside a loaded gateway take half a minute.
LONGEST_SECONDS = 300.0
# Whoever edited the folder of another gateway should see it.
_NONE = "none: no setting, rule, pipeline or hook is another"


@click.command("reload")
@with_config
@with_json
def command(config: Path, as_json: bool) -> None:
    """Read rules, pipelines and configuration again; on any error the old stay in force, exit 78."""
    done = Control(config).post("reload", wait_seconds=LONGEST_SECONDS)
    show(done if as_json or done.get("changes") else {**done, "changes": _NONE}, as_json=as_json)
