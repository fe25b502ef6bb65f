"""Measure a whole gateway: cold starts, idle memory, fixed rates, the highest rate it sustains."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from gateway.cli.frame import NotDone
from gateway.cli.measure.figures import FlowFigures, Window
from gateway.cli.measure.load import Load
from gateway.cli.measure.machine import stolen_seconds
from gateway.cli.measure.scratch import PATH, Scratch, last_words, prepared, started

Tell = Callable[[str], None]
START_SECONDS = 30.0
# The search ends when what is known to pass and what is known to fail are this close.
CLOSE = 0.06
MOST_STEPS = 9


def measure_flow(
    disk: Path | None,
    rates: Sequence[float],
    seconds: float,
    *,
    search: bool = True,
    starts: int = 3,
    tell: Tell = lambda _: None,
) -> FlowFigures:
    """Run everything on a gateway of its own, durable and with hooks and rules on. Raises `NotDone`."""
    with our_cores() as cores:
        load = Load(PATH)
        try:
            tell("starting it cold")
            cold = [cold_start(load, disk, cores)[0] for _ in range(starts - 1)]
            with prepared(disk, load.sink_port) as (config, port), started(config, port, cores) as scratch:
                cold.append(_first_reply(load, config, scratch))
                time.sleep(1.0)
                idle = scratch.rss_mib()
                load.run(200.0, 1.0, scratch.cpu_seconds)
                windows = []
                for rate in rates:
                    tell(f"{rate:g} messages a second for {seconds:g} s")
                    windows.append(window(load, scratch, rate, seconds))
                best = _search(load, scratch, windows, min(seconds, 4.0), tell) if search else 0.0
        finally:
            load.close()
    return FlowFigures(
        cold_start_seconds=cold, idle_rss_mib=idle, windows=windows, max_sustained=best, pinned=cores is not None
    )


def window(load: Load, scratch: Scratch, rate: float, seconds: float) -> Window:
    """Measure one rate, with the gateway's own share."""
    began, before = time.monotonic(), stolen_seconds()
    found = load.run(rate, seconds, scratch.cpu_seconds)
    stolen = (stolen_seconds() - before) / (time.monotonic() - began)
    return replace(found, rss_mib=scratch.rss_mib(), stolen=stolen)


def cold_start(load: Load, disk: Path | None, cpu: int | None) -> tuple[float, float]:
    """Start a fresh gateway; return the seconds from exec to its first reply, and its memory after a second of rest."""
    with prepared(disk, load.sink_port) as (config, port), started(config, port, cpu) as scratch:
        seconds = _first_reply(load, config, scratch)
        time.sleep(1.0)
        return seconds, scratch.rss_mib()


def _first_reply(load: Load, config: Path, scratch: Scratch) -> float:
    load.aim(scratch.port)
    try:
        arrived = load.first_reply(time.monotonic() + START_SECONDS)
    except OSError:
        arrived = 0.0
    if not arrived:
        raise NotDone(f"the gateway that was started for the measurement gave no reply:\n{last_words(config)}")
    return arrived - scratch.began


def _search(load: Load, scratch: Scratch, windows: list[Window], seconds: float, tell: Tell) -> float:
    """Double until it fails, then halve the gap; every step is kept in `windows`."""
    passed = max((each.rate for each in windows if each.sustained), default=0.0)
    failed = min((each.rate for each in windows if not each.sustained), default=0.0)
    rate = passed * 2 or 500.0
    for _ in range(MOST_STEPS):
        if failed:
            rate = (passed + failed) / 2
            if failed - passed <= CLOSE * failed:
                break
        tell(f"{rate:.0f} messages a second, to find the most it sustains")
        windows.append(window(load, scratch, round(rate), seconds))
        if windows[-1].sustained:
            passed, rate = rate, rate * 1.5
        else:
            failed = rate
            time.sleep(1.0)
    return passed


@contextmanager
def our_cores() -> Iterator[int | None]:
    """Keep the generator and the gateway on cores of their own where there are two; yields the gateway's."""
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        yield None
        return
    os.sched_setaffinity(0, {ours[-1]})
    try:
        yield ours[0]
    finally:
        os.sched_setaffinity(0, ours)
