"""Compare this checkout with another: `python tests/bench/beside_bench.py ../before [--rates 1000,1500]`.

A gateway of each runs all the time, both on one core; they are sent to in turns, for less than a second each, so that
what the machine does besides meets both. Shown are medians over all turns, and of the ratios of neighbours: on a shared
machine whose speed drifts by a third, thirty turns tell a difference of two per cent. CPU is the kernel's count of what
all threads ran, in microseconds a message.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.cli.measure.load import Load

HOUSE = Path(__file__).parents[2]
sys.path.insert(0, str(HOUSE))

TURN_SECONDS = 0.8


def ran(pid: int) -> float:
    """Return the seconds that all threads of a process ran so far, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


def rates(text: str) -> list[float]:
    """Read messages a second, with commas between."""
    return [float(each) for each in text.split(",")]


def main() -> None:
    from gateway.cli.measure.flow import our_cores
    from gateway.cli.measure.load import Load
    from gateway.cli.measure.scratch import PATH, prepared
    from tests.bench.stages_bench import environment

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout of oclaw")
    parser.add_argument("--rates", type=rates, default="1000,1500")
    parser.add_argument("--turns", type=int, default=20)
    asked = parser.parse_args()
    houses = (asked.other.resolve(), HOUSE)
    if not (houses[0] / "gateway").is_dir():
        raise SystemExit(f"{asked.other} is no checkout of oclaw: it has no folder gateway/")
    with ExitStack() as stack:
        core = stack.enter_context(our_cores())
        sides: list[tuple[Load, int]] = []
        for house in houses:
            load = Load(PATH)
            stack.callback(load.close)
            config, port = stack.enter_context(prepared(None, load.sink_port))
            command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(config)]
            with (config.parent / "log").open("ab") as log:
                process = subprocess.Popen(
                    command, stderr=log, env=environment(config) | {"PYTHONPATH": str(house)}, cwd=house
                )
            stack.callback(process.wait, 30.0)
            stack.callback(process.terminate)
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            load.aim(port)
            load.first_reply(time.monotonic() + 30.0)
            sides.append((load, process.pid))
        for rate in asked.rates:
            compare(sides, rate, asked.turns)


def compare(sides: list[tuple[Load, int]], rate: float, turns: int) -> None:
    """Send to both in turns at a rate; print what a message cost each."""
    costs: list[list[float]] = [[], []]
    late: list[list[float]] = [[], []]
    for turn in range(turns + 1):
        for side in (0, 1) if turn % 2 else (1, 0):
            load, pid = sides[side]
            before = ran(pid)
            window = load.run(rate, TURN_SECONDS, lambda: 0.0)
            if turn:  # the first only warms up
                costs[side].append((ran(pid) - before) / (rate * TURN_SECONDS) * 1e6)
                late[side].append(window.p99_ms)
    for name, cost, p99 in zip(("the other", "this one"), costs, late, strict=True):
        print(f"{rate:5g}/s  {name:10s} {median(cost):7.1f} us a message, p99 {median(p99):6.2f} ms")
    print(f"{rate:5g}/s  ratio      {median(now / before for before, now in zip(*costs, strict=True)):7.3f}")


if __name__ == "__main__":
    main()
