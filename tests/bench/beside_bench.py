"""Compare this checkout with another gateway, in turns: `python tests/bench/beside_bench.py ../before`.

The other is a checkout of oclaw, or any program that takes the same work and is started by `--peer`:

    python tests/bench/beside_bench.py --peer 'opsdroid start -f PEERS/opsdroid/configuration.yaml' \\
        --port 9810 --path /skill/route/in

Both run all the time, on one core; they are sent to in turns, for less than a second each, so that what the machine
does besides meets both: at fixed `--rates`, and with so many messages `--under-way` all the time. Shown are medians
over all turns, and of the ratios of neighbours: on a shared machine whose speed drifts by a third, thirty turns tell a
difference of two per cent. CPU is the kernel's count of what all threads ran, in microseconds a message.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.cli.measure.load import Load

HOUSE = Path(__file__).parents[2]
sys.path.insert(0, str(HOUSE))

TURN_SECONDS = 0.8
# Of one turn: what a message cost, and what else is shown.
Cost = tuple[float, float]


@dataclass
class Side:
    """One gateway at work, and who sends to it."""

    name: str
    load: Load
    pid: int

    def ran(self) -> float:
        """Return the seconds that all its threads ran so far, to the nanosecond."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    def at_rate(self, rate: float) -> Cost:
        """Send at a fixed rate; return the CPU a message, and the 99th percentile in ms."""
        before = self.ran()
        window = self.load.run(rate, TURN_SECONDS, lambda: 0.0)
        return (self.ran() - before) / (rate * TURN_SECONDS) * 1e6, window.p99_ms

    def kept_busy(self, under_way: int) -> Cost:
        """Keep so many under way; return the CPU a message, and how many were replied to in a second."""
        before = self.ran()
        replied = self.load.keep(under_way, TURN_SECONDS)
        return (self.ran() - before) / max(1, replied) * 1e6, replied / TURN_SECONDS


def numbers(text: str) -> list[float]:
    """Read numbers with commas between."""
    return [float(each) for each in text.split(",") if each]


def main() -> None:
    from gateway.cli.measure.flow import our_cores

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, nargs="?", help="another checkout of oclaw")
    parser.add_argument("--peer", help="the command of another program")
    parser.add_argument("--port", type=int, help="where that listens")
    parser.add_argument("--path", default="/", help="where it takes messages")
    parser.add_argument("--rates", type=numbers, default="1000,1500", help="messages a second")
    parser.add_argument("--under-way", type=numbers, default="32", help="messages under way at any time")
    parser.add_argument("--turns", type=int, default=20)
    asked = parser.parse_args()
    if (asked.other is None) == (asked.peer is None) or (asked.peer and not asked.port):
        parser.error("name another checkout, or --peer COMMAND with its --port and --path")
    if asked.other is not None and not (asked.other / "gateway").is_dir():
        parser.error(f"{asked.other} is no checkout of oclaw: it has no folder gateway/")
    with ExitStack() as stack:
        core = stack.enter_context(our_cores())
        if asked.peer:
            other = peer(stack, core, asked.peer, asked.port, asked.path)
        else:
            other = checkout(stack, core, "the other", asked.other.resolve())
        sides = (other, checkout(stack, core, "this one", HOUSE))
        for rate in asked.rates:
            compare(sides, asked.turns, f"{rate:g}/s", "p99 {:.2f} ms", lambda side, rate=rate: side.at_rate(rate))
        for many in map(int, asked.under_way):
            compare(sides, asked.turns, f"{many} under way", "{:.0f}/s", lambda side, many=many: side.kept_busy(many))


def checkout(stack: ExitStack, core: int | None, name: str, house: Path) -> Side:
    """Start the gateway of a checkout of oclaw, with conf/examples/bench of this one."""
    from gateway.cli.measure.load import Load
    from gateway.cli.measure.scratch import PATH, prepared
    from tests.bench.stages_bench import environment

    load = Load(PATH)
    stack.callback(load.close)
    config, port = stack.enter_context(prepared(None, load.sink_port))
    command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(config)]
    return started(stack, core, name, command, house, environment(config) | {"PYTHONPATH": str(house)}, load, port)


def peer(stack: ExitStack, core: int | None, command: str, port: int, path: str) -> Side:
    """Start another program."""
    from gateway.cli.measure.load import Load

    load = Load(path)
    stack.callback(load.close)
    return started(stack, core, "the peer", shlex.split(command), Path(), dict(os.environ), load, port)


def started(
    stack: ExitStack,
    core: int | None,
    name: str,
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    load: Load,
    port: int,
) -> Side:
    """Start a program on a core of its own and send it a first message."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait, 30.0)
    stack.callback(process.terminate)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    load.aim(port)
    load.first_reply(time.monotonic() + 30.0)
    return Side(name, load, process.pid)


def compare(sides: tuple[Side, Side], turns: int, what: str, also: str, measure: Callable[[Side], Cost]) -> None:
    """Measure both in turns; print what a message cost each."""
    found: tuple[list[Cost], list[Cost]] = ([], [])
    for turn in range(turns + 1):
        for which in (0, 1) if turn % 2 else (1, 0):
            cost = measure(sides[which])
            if turn:  # the first only warms up
                found[which].append(cost)
    for side, costs in zip(sides, found, strict=True):
        cpu, other = (median(figures) for figures in zip(*costs, strict=True))
        print(f"{what:13s} {side.name:10s} {cpu:7.1f} us a message, {also.format(other)}")
    ratios = (median(ours[which] / theirs[which] for theirs, ours in zip(*found, strict=True)) for which in (0, 1))
    print("{:13s} ratio      {:7.3f}, and {:.3f}".format(what, *ratios), flush=True)


if __name__ == "__main__":
    main()
