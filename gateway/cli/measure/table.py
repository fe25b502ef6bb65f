"""A report as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.cli.measure.figures import FlowFigures, Machine, PartFigures, Report, Window
from gateway.cli.show import table

# From here on the 99th percentile is the host's more than the gateway's.
STOLEN = 0.005


def lines(report: Report) -> list[str]:
    """Return the whole report."""
    found = [*_machine(report.machine)]
    if report.parts is not None:
        found += ["", *_parts(report.parts)]
    if report.flow is not None:
        found += ["", *flow_lines(report.flow)]
    return found


def flow_lines(flow: FlowFigures) -> Iterator[str]:
    """Yield the table of rates and what stands around it."""
    starts = ", ".join(f"{seconds:.2f}" for seconds in flow.cold_start_seconds)
    yield f"cold start to first reply   {starts} s"
    yield f"memory at rest              {flow.idle_rss_mib:.0f} MiB"
    yield ""
    yield from table([_row(each) for each in flow.windows])
    yield ""
    if flow.max_sustained:
        yield f"most sustained: {flow.max_sustained:.0f} messages a second (all arrived, 99 of 100 within 250 ms)"
    yield "Times in ms, from the moment a message was due to its reply's arrival; cpu in % of one core."
    if not flow.pinned:
        yield "Gateway and generator shared one core: the gateway alone does more."


def _row(window: Window) -> dict[str, str]:
    return {
        "rate": f"{window.rate:g}",
        "achieved": f"{window.achieved:.0f}",
        "p50": f"{window.p50_ms:.1f}",
        "p90": f"{window.p90_ms:.1f}",
        "p99": f"{window.p99_ms:.1f}",
        "p99.9": f"{window.p999_ms:.1f}",
        "max": f"{window.max_ms:.0f}",
        "lost": str(window.lost),
        "cpu": f"{window.cpu * 100:.0f}",
        "rss MiB": f"{window.rss_mib:.0f}",
        "kept up": "yes" if window.sustained else "no",
        "trouble": ", ".join(_trouble(window)),
    }


def _trouble(window: Window) -> Iterator[str]:
    """Yield what went wrong, and what of it was not the gateway's doing."""
    yield from (f"{count} × {name}" for name, count in sorted(window.errors.items()))
    if window.stolen >= STOLEN:
        yield f"the host took {window.stolen:.1%} of a core"
    elif window.late_ms > max(5.0, window.p99_ms) and not window.errors:
        yield "the generator was late"


def _machine(machine: Machine) -> Iterator[str]:
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    yield f"{machine.processor}, {cores}, {machine.system}, Python {machine.python}, {machine.date}"
    if machine.load > machine.cores / 2:
        yield f"This machine is busy (load {machine.load:.1f}): times and rates are worse than they need be."


def _parts(parts: PartFigures) -> Iterator[str]:
    rules = "1 rule" if parts.rules == 1 else f"{parts.rules} rules"
    rows = {
        "seal a message": f"{parts.seal_us:.1f} µs, open it {parts.open_us:.1f} µs, {parts.sealed_bytes:.0f} bytes",
        f"decide by {rules}": f"{parts.decide_us:.1f} µs, 99 of 100 within {parts.decide_p99_us:.1f} µs",
        "the disk": f"{parts.syncs_per_second:.0f} syncs a second, 99 of 100 within {parts.sync_p99_ms:.1f} ms, "
        f"the longest {parts.sync_max_ms:.0f} ms",
        "the journal": f"{parts.rows_per_second_alone:.0f} messages a second one by one, "
        f"{parts.rows_per_second:.0f} together",
    }
    for name, found in rows.items():
        yield f"{name:<26}  {found}"
