"""Count what one message makes the processor do: `python tests/bench/instructions_bench.py`, with valgrind installed.

Times differ by a third from hour to hour on a shared machine; instructions do not, so a change of three per cent shows
in one run. conf/examples/bench is run twice under cachegrind, with few messages and with many, four at a time, and the
difference is shared out. Its caches are those of a core without a neighbour: 32 KB each for code and data, then
`--cache` KB for both. What misses there waits for memory that others share, and at a thousand messages a second that is
half of a message's time.

The kernel's work is not in it, and the gateway's own clockwork is a little more than at full speed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HOUSE = Path(__file__).parents[2]
sys.path.insert(0, str(HOUSE))

# Bursts of four: the next one begins when the replies to the last have come, as all takes fifty times as long.
FEW, MANY = 75, 325
COUNTED = {"I refs": "instructions", "I1 misses": "code misses, 32 KB", "D1 misses": "data misses, 32 KB"}
LAST = "LL misses"


def counted(bursts: int, cache_kb: int) -> tuple[int, dict[str, int]]:
    """Run a gateway under cachegrind, send so many bursts, and return how many replies came and what it counted."""
    from gateway.cli.measure.load import Load
    from gateway.cli.measure.scratch import PATH, prepared
    from tests.bench.stages_bench import environment

    load = Load(PATH)
    with prepared(None, load.sink_port) as (config, port):
        file = config / "oclaw.toml"
        # Nothing is late here that would be in time at full speed.
        file.write_text(file.read_text("utf-8").replace("[gateway]", "[gateway]\ndeadline_ms = 60000", 1), "utf-8")
        said = config.parent / "said"
        sizes = ["--I1=32768,8,64", "--D1=32768,8,64", f"--LL={cache_kb * 1024},8,64"]
        command = ["valgrind", "--tool=cachegrind", "--cache-sim=yes", *sizes, "--cachegrind-out-file=/dev/null"]
        command += [sys.executable, "-m", "gateway.cli", "run", "--config", str(config)]
        with said.open("wb") as out:
            process = subprocess.Popen(command, stderr=out, env=environment(config) | {"PYTHONPATH": str(HOUSE)})
        try:
            load.aim(port)
            load.first_reply(time.monotonic() + 120.0)
            # Who waited unread for 50 ms is refused, which costs next to nothing.
            replies = sum(load.run(1000.0, 0.004, lambda: 0.0).arrived for _ in range(bursts))
        finally:
            process.terminate()
            process.wait(120.0)
            load.close()
        text = " ".join(said.read_text("utf-8", "replace").split())
    return replies, {row: int(re.findall(rf"{row}: +([\d,]+)", text)[-1].replace(",", "")) for row in (*COUNTED, LAST)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=int, default=512, help="KB of the last cache that a core has for itself")
    asked = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is missing. On Debian and Ubuntu: sudo apt-get install valgrind")
    (first, few), (then, many) = counted(FEW, asked.cache), counted(MANY, asked.cache)
    names = COUNTED | {LAST: f"misses of both, {asked.cache} KB"}
    for row, name in names.items():
        print(f"{name:28s} {(many[row] - few[row]) / (then - first):12,.0f} a message")


if __name__ == "__main__":
    main()
