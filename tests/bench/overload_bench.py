"""Offer a gateway one, two and three times what it can do: `python tests/bench/overload_bench.py [--hook-ms 1]`.

Runs conf/examples/bench on a core of its own and finds its maximum with a closed loop, before and after each load,
since the speed of a shared machine changes within seconds; `--hook-ms` slows every message down by a hook that
computes for so long, as a slow machine would. Prints for each load what was accepted and refused, what was held back
because no connection was free, and in how many milliseconds after a message was sent its reply and its 202 arrived;
then how soon half the load is served as if nothing had been. GENERATOR is its share of a core: near 100 % it is the
limit, not the gateway.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.cli.measure.figures import quantile
from gateway.cli.measure.flow import our_cores
from gateway.cli.measure.machine import machine
from gateway.cli.measure.scratch import PATH, Scratch, prepared, started
from tests.support.flood import Account, Flood

DEADLINE_SECONDS = 0.2
UNDER_WAY = 128
HEAD = ["LOAD", "DUE/S", "SENT/S", "TAKEN/S", "GOODPUT", "503/S", "HELD/S", "P50", "P99", "MAX", "ACK P99", "LOST"]
HEAD += ["CPU", "GENERATOR", "RSS MIB"]
HOOK = """
import time


def preprocess_hook(message):
    until = time.perf_counter() + {seconds}
    while time.perf_counter() < until:
        pass
    return message
"""


def line(load: str, account: Account, most: float, cpu: float, scratch: Scratch) -> str:
    took, sent = account.took_seconds, account.due - account.held
    cells = [
        load,
        f"{account.due / account.seconds:.0f}",
        f"{sent / took:.0f}",
        f"{account.goodput:.0f}",
        f"{account.goodput / most:.0%}",
        f"{account.refused / took:.0f}",
        f"{account.held / took:.0f}",
        *(f"{account.p(share):.0f}" for share in (0.5, 0.99, 1.0)),
        f"{quantile(sorted(account.acks), 0.99) * 1e3:.0f}",
        str(account.lost),
        f"{cpu:.0%}",
        f"{account.generator_cpu:.0%}",
        f"{scratch.rss_mib():.0f}",
    ]
    return aligned(cells)


def aligned(cells: list[str]) -> str:
    return "".join(f"{cell:<{max(len(head), 4) + 2}}" for cell, head in zip(cells, HEAD, strict=True)).rstrip()


def measure(flood: Flood, scratch: Scratch, seconds: float, loads: list[float]) -> None:
    flood.aim(scratch.port)
    flood.first_reply(30.0)
    flood.closed(32, 1.0)
    before = flood.closed(UNDER_WAY, seconds / 2)
    print(f"{before:.0f} messages a second at most, {UNDER_WAY} under way\n\n{aligned(HEAD)}")
    for load in loads:
        cpu = scratch.cpu_seconds()
        account = flood.offer(before * load, seconds)
        cpu = (scratch.cpu_seconds() - cpu) / account.took_seconds
        after = flood.closed(UNDER_WAY, seconds / 2)
        print(line(f"{load:g}x", account, (before + after) / 2, cpu, scratch), flush=True)
        before = after
    account = flood.offer(before / 2, seconds)
    print(line("0.5x", account, before, 0.0, scratch))
    late = account.recovered_after(DEADLINE_SECONDS)
    print(f"\n{late:.2f} s after the load fell the last message was refused or late")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hook-ms", type=float, default=0.0, help="what a hook adds to every message")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each load")
    parser.add_argument("--loads", default="1,2,3", help="as multiples of the maximum")
    parser.add_argument("--connections", type=int, default=1000)
    options = parser.parse_args()
    print(machine())
    with our_cores() as core:
        flood = Flood(PATH, options.connections)
        with prepared(Path(tempfile.gettempdir()), flood.sink_port) as (config, port):
            file = config / "oclaw.toml"
            more = f"[listen]\nmax_connections_per_address = {options.connections + 16}\n"
            file.write_text(file.read_text("utf-8").replace("[listen]\n", more), "utf-8")
            if options.hook_ms:
                hook = HOOK.format(seconds=options.hook_ms / 1e3)
                (config / "hooks" / "my_hooks.py").write_text(hook, "utf-8")
            with started(config, port, core) as scratch:
                measure(flood, scratch, options.seconds, [float(each) for each in options.loads.split(",")])
                time.sleep(0.2)
        flood.close()


if __name__ == "__main__":
    main()
