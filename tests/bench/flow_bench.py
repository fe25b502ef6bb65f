"""Measure a whole gateway: `python tests/bench/flow_bench.py [--rates 100,1000] [--seconds 10] [--loadgen PATH]`.

--readme puts the figures, and those of the single parts, into the section "Measured" of the top README.

Runs conf/examples/bench on a free port, pinned to one core, and sends to it from another: cold start, idle
memory, latency and CPU at fixed rates, the highest rate it sustains. Our own generator measures unless
--loadgen names another program that takes the same work: `--port --path --sink-port --rates --secs --pid --search
--search-from`, one JSON object a line (rate, sent, arrived, lost, errors, achieved, p50, p90, p99, p999, max, sut_cpu).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from gateway.cli.measure.figures import FlowFigures, Report, Window
from gateway.cli.measure.flow import cold_start, measure_flow, our_cores
from gateway.cli.measure.load import Load
from gateway.cli.measure.machine import machine
from gateway.cli.measure.own import own_rules
from gateway.cli.measure.parts import measure_parts
from gateway.cli.measure.scratch import EXAMPLE, HOME, PATH, Scratch, prepared, started
from gateway.cli.measure.table import lines


def tell(what: str) -> None:
    print(f"… {what}", file=sys.stderr)


def by_other(program: Path, disk: Path | None, rates: list[float], seconds: float, most: float) -> FlowFigures:
    """Let another generator measure; cold starts and memory are still taken by ours."""
    with our_cores() as core:
        load = Load(PATH)
        tell("starting it cold")
        cold = [cold_start(load, disk, core) for _ in range(3)]
        load.close()
        with prepared(disk, load.sink_port) as (config, port), started(config, port, core) as scratch:
            wait_until_it_listens(scratch)
            found = asked(program, scratch, load.sink_port, rates, seconds, most)
    return FlowFigures(
        cold_start_seconds=[seconds for seconds, _ in cold],
        idle_rss_mib=cold[-1][1],
        windows=[window(each) for each in found if "rate" in each],
        max_sustained=next((each["per_s"] for each in found if each.get("mode") == "max_sustained"), 0.0),
        pinned=core is not None,
    )


def wait_until_it_listens(scratch: Scratch) -> None:
    load = Load(PATH)
    load.aim(scratch.port)
    load.first_reply(scratch.began + 30)
    load.close()


def asked(
    program: Path, scratch: Scratch, sink_port: int, rates: list[float], seconds: float, most: float
) -> list[dict[str, Any]]:
    command = [sys.executable, str(program), "--port", str(scratch.port), "--path", PATH, "--sink-port", str(sink_port)]
    command += ["--rates", ",".join(f"{rate:g}" for rate in rates), "--secs", f"{seconds:g}"]
    command += ["--pid", str(scratch.process.pid)]
    if most:
        command += ["--search", f"{most:g}", "--search-from", f"{max(rates) * 2:g}"]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tell(line.strip())
            found.append(json.loads(line))
    return found


def window(said: dict[str, Any]) -> Window:
    return Window(
        rate=said["rate"],
        seconds=said["secs"],
        sent=said["sent"],
        arrived=said["arrived"],
        repeated=said.get("dup", 0),
        errors=said["errors"],
        achieved=said["achieved"],
        p50_ms=said["p50"] or 0.0,
        p90_ms=said["p90"] or 0.0,
        p99_ms=said["p99"] or 0.0,
        p999_ms=said["p999"] or 0.0,
        max_ms=said["max"] or 0.0,
        ack_p50_ms=said.get("ack_p50") or 0.0,
        ack_p99_ms=said.get("ack_p99") or 0.0,
        late_ms=said.get("gen_lag_max_ms", 0.0),
        load_cpu=said.get("gen_cpu", 0.0),
        cpu=said.get("sut_cpu", 0.0),
        rss_mib=said.get("rss_kb", 0) / 1024,
    )


def write_readme(report: Report) -> None:
    """Replace what stands between the markers of the section "Measured"."""
    path = HOME / "README.md"
    before, begin, rest = path.read_text("utf-8").partition("<!-- measured -->\n")
    _, end, after = rest.partition("<!-- /measured -->")
    path.write_text("\n".join([before + begin + "```", *lines(report), "```", end + after]), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rates", default="100,1000", help="messages a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each rate")
    parser.add_argument(
        "--most", type=float, default=12_000, help="where another generator's search ends; 0: no search"
    )
    parser.add_argument("--disk", type=Path, help="the folder whose disk the journal is written to")
    parser.add_argument("--loadgen", type=Path, help="another load generator")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--readme", action="store_true", help="put the figures into the top README")
    options = parser.parse_args()
    rates = [float(each) for each in options.rates.split(",")]
    disk = options.disk or Path(tempfile.gettempdir())
    if options.loadgen is None:
        flow = measure_flow(disk, rates, options.seconds, search=options.most > 0, tell=tell)
    else:
        flow = by_other(options.loadgen.resolve(), disk, rates, options.seconds, options.most)
    parts = measure_parts(*own_rules(EXAMPLE), disk, 2.0) if options.readme else None
    report = Report(machine=machine(), parts=parts, flow=flow)
    if options.readme:
        write_readme(report)
    print(msgspec.json.encode(report).decode() if options.json else os.linesep.join(lines(report)))


if __name__ == "__main__":
    main()
