"""On what it was measured."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from gateway.cli.measure.figures import Machine


def machine() -> Machine:
    """Describe this machine at this moment; `load` is what others ask of it, over the last minute."""
    return Machine(
        date=time.strftime("%Y-%m-%d"),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        load=os.getloadavg()[0],
    )


def stolen_seconds(stat: Path = Path("/proc/stat")) -> float:
    """Return how long this machine's processors stood still since it started because its host ran others on them.

    0 on hardware of its own, and where `stat` does not tell it (proc(5): the eighth figure of the line `cpu`).
    """
    try:
        ticks = stat.read_text().partition("\n")[0].split()[8]
    except (OSError, IndexError):
        return 0.0
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()
