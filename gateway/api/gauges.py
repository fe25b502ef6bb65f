"""The gauges every gateway shows beside its counters, each read at the moment of the scrape."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.api.health import Vitals
from gateway.telemetry import Log
from gateway.telemetry.metrics import Gauge
from gateway.telemetry.stall import LoopLag


def standard_gauges(
    read: Callable[[], Vitals], queues: Callable[[], Mapping[str, int]], lag: LoopLag, log: Log
) -> list[Gauge]:
    """Make them. `queues` tells how much waits where, by a small fixed set of names."""

    def children() -> dict[tuple[str, ...], float]:
        return {(child.name, child.state): 1.0 for child in read().children}

    return [
        Gauge("oclaw_ready", "1 while the gateway takes messages.", lambda: float(read().state == "ready")),
        Gauge("oclaw_queue_depth", "What waits, by queue.", lambda: dict(queues()), ("queue",)),
        Gauge("oclaw_child_state", "1 for the state each child is in.", children, ("child", "state")),
        Gauge("oclaw_journal_backlog", "Works not yet committed.", lambda: float(read().journal_backlog)),
        Gauge(
            "oclaw_journal_failing", "1 while the journal cannot write.", lambda: float(bool(read().journal_failing))
        ),
        Gauge("oclaw_loop_lag_seconds", "Worst lateness of the loop in ten seconds.", lambda: lag.worst),
        Gauge("oclaw_log_lines_dropped", "Log lines lost since the start.", lambda: float(log.dropped)),
    ]
