"""`oclaw rules bench`: how fast these rules are on this machine, and which kind of index serves how many of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.frame import with_config, with_json
from gateway.cli.rules.workplace import Workplace, with_edited
from gateway.cli.show import show

if TYPE_CHECKING:
    from rules import Ruleset


@click.command("bench")
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(0.05, 60), help="How long to decide.")
@with_edited
@with_config
@with_json
def command(seconds: float, edited: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Measure compiling and deciding with realistic messages of many platforms and languages."""
    place = Workplace(config, edited)
    began = time.process_time()
    ruleset = place.ruleset()
    compiling = time.process_time() - began
    rules = len(ruleset.rules())
    answer: dict[str, Any] = {
        "rules": rules,
        "files": len(place.files),
        "compile_seconds": compiling,
        "compile_us_per_rule": compiling / rules * 1e6 if rules else 0.0,
        "messages_per_cpu_second": round(_rate(ruleset, sorted(place.settings.channels), seconds)),
        "index": {name: dict(engine.index.kinds()) for name, engine in ruleset.engines.items()},
    }
    show(answer, as_json=as_json)


def _rate(ruleset: Ruleset, channels: list[str], seconds: float) -> float:
    from gateway.cli.measure.parts import samples
    from rules import ROUTING

    envelopes, moment, decided = samples(channels), time.time(), 0
    began = time.process_time()
    while (spent := time.process_time() - began) < seconds:
        for envelope in envelopes:
            ruleset.decide(ROUTING, envelope, moment)
        decided += len(envelopes)
    return decided / spent
