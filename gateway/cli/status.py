"""`oclaw status`: health at a glance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli.control import Control
from gateway.cli.frame import NOT_DONE, with_config, with_json
from gateway.cli.show import show


@click.command("status")
@with_config
@with_json
def command(config: Path, as_json: bool) -> None:
    """Show channels, queues and failures. Exits 1 unless the gateway is ready, as /readyz says it."""
    answer = Control(config).get("status")
    show(answer if as_json else at_a_glance(_told_once(answer)), as_json=as_json)
    if isinstance(answer, dict) and answer.get("ready") is not True:
        sys.exit(NOT_DONE)


def at_a_glance(answer: Any) -> Any:
    """Leave out what is nought, empty or unset, so that what is left is what is going on."""
    if isinstance(answer, dict):
        kept = {key: at_a_glance(value) for key, value in answer.items()}
        return {key: value for key, value in kept.items() if value is False or value not in (0, "", None, {}, [])}
    return answer


def _told_once(answer: Any) -> Any:
    """Leave out where the rules were loaded from when that is where the configuration was."""
    if not isinstance(answer, dict) or not isinstance(answer.get("rules"), dict):
        return answer
    rules = {key: value for key, value in answer["rules"].items() if value != answer.get("configuration")}
    return {**answer, "rules": rules}
