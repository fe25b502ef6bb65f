"""What the process itself takes: CPU, memory and descriptors, under the names that dashboards know.

`prometheus_client` has a collector of these names. It asks /proc/stat for the time of the boot, and gives
nothing at all where that is hidden, as by `ProcSubset=pid` in our own unit. Here each number is asked of
the process alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_NOFILE, RUSAGE_SELF, getpagesize, getrlimit, getrusage
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

# proc_pid_stat(5): the 22nd field, in ticks since the boot; the first two end with the last ")".
_START = 22 - 3


class OwnProcess:
    """A Prometheus collector. What the system does not tell is left out."""

    def __init__(self) -> None:
        # Found once: alerts count the changes of this number as restarts.
        self._started = _started()

    def collect(self) -> Iterator[Metric]:
        """Give the numbers of this moment."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        used = getrusage(RUSAGE_SELF)
        spent = used.ru_utime + used.ru_stime
        yield CounterMetricFamily("process_cpu_seconds", "User and system CPU time spent, in seconds.", value=spent)
        for name, text, value in self._gauges():
            yield GaugeMetricFamily(f"process_{name}", text, value=value)

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        most = getrlimit(RLIMIT_NOFILE)[0]
        yield "max_fds", "File descriptors that may be open.", inf if most == RLIM_INFINITY else float(most)
        try:
            with open("/proc/self/statm", "rb") as pages:
                virtual, resident = pages.read().split()[:2]
            descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
        except OSError:
            return
        yield "virtual_memory_bytes", "Virtual memory, in bytes.", float(virtual) * getpagesize()
        yield "resident_memory_bytes", "Resident memory, in bytes.", float(resident) * getpagesize()
        yield "open_fds", "File descriptors that are open.", float(descriptors)
        if self._started is not None:
            yield "start_time_seconds", "When the process began, in seconds since 1970.", self._started


def _started() -> float | None:
    try:
        with open("/proc/self/stat", "rb") as stat:
            ticks = int(stat.read().rpartition(b")")[2].split()[_START])
    except OSError:
        return None
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")
