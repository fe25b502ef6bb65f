"""Measure `Send` through the whole durable flow: `python tests/bench/grpc_flow_bench.py [--rate 1000] [--seconds 8]`.

Runs conf/examples/bench with a grpc channel on a free port, pinned to one core, and calls it from another: first at a
fixed rate, where a late call counts as latency, then with 64 callers that never pause. A subscriber hears the replies.
Replies are whole, as on the webhook that flow_bench.py measures, unless --stream is given.
`sent` is from the moment a call was due until its acknowledgement, `replied` until the subscriber has the reply.

--beside measures the example's webhook at the same rate on the same gateway, in turns with the calls: what differs then
is the door, and not the minute. Each line has `late_ms`, how late the load itself was at worst.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.cli.measure.figures import quantile
from gateway.cli.measure.flow import our_cores
from gateway.cli.measure.load import Load
from gateway.cli.measure.scratch import PATH, Scratch, prepared, started
from tests.support.grpc_load import GrpcLoad, with_grpc

CALLERS = 64
TURNS = 4


def told(name: str, load: GrpcLoad, took: float, cpu: float) -> None:
    share = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    of = {"sent": sorted(load.sent), "replied": sorted(load.replied)}
    ms = {what: {k: round(quantile(v, q) * 1e3, 2) for k, q in share.items()} for what, v in of.items() if v}
    figures = {"load": name, "per_s": round(len(load.replied) / took), "errors": load.errors, "lost": load.lost}
    print(json.dumps({**figures, "cpu": round(cpu / took, 2), "late_ms": round(load.late * 1e3, 1), **ms}), flush=True)


def measure(load: GrpcLoad, scratch: Scratch, rate: float, seconds: float) -> None:
    at_rate(load, scratch, rate, seconds)
    began, cpu = begun(load, scratch)
    load.without_pause(CALLERS, seconds)
    # Until the last reply: what only piled up does not count as done.
    load.rest()
    told(f"{CALLERS} callers", load, time.perf_counter() - began, scratch.cpu_seconds() - cpu)


def at_rate(load: GrpcLoad, scratch: Scratch, rate: float, seconds: float) -> None:
    began, cpu = begun(load, scratch)
    load.at_rate(rate, seconds)
    load.rest()
    told(f"grpc {rate:g}/s", load, time.perf_counter() - began, scratch.cpu_seconds() - cpu)


def begun(load: GrpcLoad, scratch: Scratch) -> tuple[float, float]:
    load.begin()
    return time.perf_counter(), scratch.cpu_seconds()


def beside(load: GrpcLoad, webhook: Load, scratch: Scratch, rate: float, seconds: float) -> None:
    """One door after the other, in turns."""
    webhook.aim(scratch.port)
    webhook.first_reply(time.monotonic() + 10.0)
    webhook.run(200.0, 1.0, scratch.cpu_seconds)
    for _ in range(TURNS):
        found = webhook.run(rate, seconds, scratch.cpu_seconds)
        sent = {"p50": round(found.ack_p50_ms, 2), "p99": round(found.ack_p99_ms, 2)}
        replied = {"p50": round(found.p50_ms, 2), "p99": round(found.p99_ms, 2), "max": round(found.max_ms, 2)}
        name = {"load": f"webhook {rate:g}/s", "per_s": round(found.achieved), "lost": found.lost}
        more = {"cpu": round(found.cpu, 2), "late_ms": round(found.late_ms, 1), "sent": sent, "replied": replied}
        print(json.dumps({**name, **more}), flush=True)
        at_rate(load, scratch, rate, seconds)


@contextmanager
def connected(scratch: Scratch) -> Iterator[GrpcLoad]:
    """Call as soon as the gateway listens, until connections, imports and caches are warm."""
    while True:
        try:
            load = GrpcLoad(scratch.port)
            break
        except OSError:
            if scratch.process.poll() is not None:
                raise
            time.sleep(0.05)
    load.at_rate(200, 1.0)
    load.rest()
    yield load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--stream", action="store_true", help="say replies in pieces, as a pipeline does by default")
    parser.add_argument("--beside", action="store_true", help="measure the webhook at this rate, too")
    parser.add_argument("--disk", type=Path, help="where the journal is written")
    options = parser.parse_args()
    with our_cores() as core:
        webhook = Load(PATH)
        with prepared(options.disk, webhook.sink_port) as (config, port):
            with_grpc(config, stream=options.stream)
            with started(config, port, core) as scratch, connected(scratch) as load:
                print(json.dumps({"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}))
                if options.beside:
                    beside(load, webhook, scratch, options.rate, options.seconds)
                else:
                    measure(load, scratch, options.rate, options.seconds)
        webhook.close()


main()
