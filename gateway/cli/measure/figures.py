"""The figures of a measurement, and percentiles. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

# A rate is sustained while everything arrives, at that rate, and this late at most for 99 of 100 messages.
SUSTAINED_P99_MS = 250.0
SUSTAINED_SHARE = 0.98


class Window(Struct, frozen=True, kw_only=True):
    """Some seconds at a fixed rate. Times count from the moment a message was due, whether or not it left in time.

    `cpu` is the gateway's share of one core. `late_ms` is how late the generator itself was at worst, and
    `load_cpu` its own share of a core: near 1 it is the limit, not the gateway. `stolen` is what the host of a virtual
    machine took away, as a share of one core: at 0.01 a message in a hundred was due while one of the two stood still.
    """

    rate: float
    seconds: float
    sent: int
    arrived: int
    repeated: int
    errors: dict[str, int]
    achieved: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    ack_p50_ms: float
    ack_p99_ms: float
    late_ms: float
    load_cpu: float
    cpu: float
    rss_mib: float = 0.0
    stolen: float = 0.0

    @property
    def lost(self) -> int:
        """How many messages did not arrive within the patience after the window."""
        return self.sent - self.arrived

    @property
    def sustained(self) -> bool:
        """Whether the gateway kept up."""
        on_time = self.achieved >= SUSTAINED_SHARE * self.rate and self.p99_ms <= SUSTAINED_P99_MS
        return on_time and not self.lost and not self.errors


class FlowFigures(Struct, frozen=True, kw_only=True):
    """What a whole gateway does: every stage, a durable commit, a delivered reply.

    `cold_start_seconds` run from exec to the first reply at its destination.
    """

    cold_start_seconds: list[float]
    idle_rss_mib: float
    windows: list[Window]
    max_sustained: float
    pinned: bool


class PartFigures(Struct, frozen=True, kw_only=True):
    """What single parts cost, in microseconds or per second; for `sync_max_ms` the disk stood still at worst."""

    seal_us: float
    open_us: float
    sealed_bytes: float
    rules: int
    decide_us: float
    decide_p99_us: float
    syncs_per_second: float
    sync_p99_ms: float
    sync_max_ms: float
    rows_per_second_alone: float
    rows_per_second: float


class Machine(Struct, frozen=True):
    """Where it was measured, and when."""

    date: str
    processor: str
    cores: int
    python: str
    system: str
    load: float


class Report(Struct, frozen=True, kw_only=True):
    """Everything `oclaw bench` found out; a part that was not asked for is None."""

    machine: Machine
    parts: PartFigures | None = None
    flow: FlowFigures | None = None


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the sorted `values` do not exceed; 0 when there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0
