"""Measure what one message costs, stage by stage: `python tests/bench/stages_bench.py [--rate 1000] [--door grpc]`.

Runs conf/examples/bench with a stopwatch around each stage and sends to it at a fixed rate, through its webhook or,
with `--door grpc`, by `Send` with a subscriber that hears the replies. A stage's time
is its own: what it calls that has a row of its own is taken off. The last rows are the process's CPU that no stage
explains: Trio, epoll, the kernel's share between them. The stopwatches cost about 1 µs a stage.

--readme writes the table into gateway/flow/README.md, or gateway/api/rpc/README.md.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.cli.measure.load import Load
    from gateway.cli.measure.scratch import Scratch

HOUSE = Path(__file__).parents[2]
sys.path.insert(0, str(HOUSE))

READMES = {"webhook": HOUSE / "gateway" / "flow" / "README.md", "grpc": HOUSE / "gateway" / "api" / "rpc" / "README.md"}
BEGIN, END = "<!-- stages -->", "<!-- /stages -->"
# What is timed: the row it belongs to, the module, the class, the method.
COMMON = (
    ("2 accept: admission, ids, digests", "gateway.flow.accept", "Door", "offer"),
    ("2 accept: admission, ids, digests", "gateway.flow.accept", "Door", "_enter"),
    ("2 seal the message, its story and its reply", "gateway.message.seal", "Sealer", "encode"),
    ("2 seal the message, its story and its reply", "gateway.message.seal", "Sealer", "seal_bytes"),
    ("3 lanes", "gateway.flow.lanes", "Lanes", "lead"),
    ("4, 7 hooks", "gateway.flow.hooks", "Chain", "run"),
    ("5 rules", "gateway.flow.route", "Router", "plan"),
    ("6 pipeline", "gateway.pipelines.actor", "Actor", "run"),
    ("7 hand-over", "gateway.flow.handover", "Clerk", "hand_over"),
    ("2, 8 journal: the statements", "gateway.journal.ledger", "Ledger", "_filled"),
    ("2 acknowledge", "gateway.flow.accept", "Door", "_committed"),
    ("8 outbox", "gateway.flow.outbox", "Outbox", "add"),
    ("8 outbox", "gateway.flow.outbox", "Outbox", "_go"),
    ("10 settle", "gateway.flow.attempts", "Attempts", "settle"),
)
WEBHOOK = (
    ("1 read the request", "protocols.hub.connection", "Connection", "wake"),
    ("1 verify, decode, normalise", "gateway.channels.webhook", "WebhookChannel", "receive"),
    ("9 post the reply", "gateway.channels.webhook", "WebhookChannel", "deliver_now"),
    ("9 read the answer", "protocols.http_client.prompt", "Listening", "_wake"),
    ("9 read the answer", "protocols.http_client.prompt", "Listening", "_tell"),
)
GRPC = (
    ("1 read frames", "protocols.http2.machine", "Machine", "receive"),
    ("1 the call: method, metadata, protobuf", "protocols.grpc.quick", "Quick", "take"),
    ("1 token, normalise", "gateway.api.rpc.messages", "GatewayService", "send_quickly"),
    ("2 answer the call", "protocols.grpc.quick", "_Call", "_tell"),
    ("9 say the reply", "gateway.channels.grpc", "GrpcChannel", "deliver_now"),
    ("2, 9 write frames", "protocols.http2.machine", "Machine", "take"),
    ("2, 9 send them", "protocols.transport.stream", "PipeStream", "send_now"),
)
DOORS = {"webhook": (*COMMON, *WEBHOOK), "grpc": (*COMMON, *GRPC)}
THREAD = "2, 8 journal: the commit (its own thread)"
REST = "Trio, epoll and what lies between"


def watched(door: str, config: Path, out: Path) -> None:
    """Run the daemon with its stopwatches; write what they showed to `out` at the end."""
    from importlib import import_module

    watch = Stopwatch()
    for row, module, owner, method in DOORS[door]:
        place = getattr(import_module(module), owner)
        setattr(place, method, watch.around(row, getattr(place, method)))
    ledger: Any = import_module("gateway.journal.clerk").Clerk
    ledger.commit = in_thread(watch, ledger.commit)
    from gateway.daemon import run

    try:
        run(config)
    finally:
        out.write_text(json.dumps({"seconds": watch.seconds, "calls": watch.calls}))


class Stopwatch:
    """Exclusive times of nested calls in the loop's thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._inner = [0.0]

    def around(self, row: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call` with a stopwatch; a coroutine function is timed while it runs straight through."""
        if call.__code__.co_flags & 0x80:

            async def timed_later(*values: Any, **named: Any) -> Any:
                began = self._begin()
                try:
                    return await call(*values, **named)
                finally:
                    self._end(row, began)

            return timed_later

        def timed(*values: Any, **named: Any) -> Any:
            began = self._begin()
            try:
                return call(*values, **named)
            finally:
                self._end(row, began)

        return timed

    def add(self, row: str, seconds: float) -> None:
        self.seconds[row] = self.seconds.get(row, 0.0) + seconds
        self.calls[row] = self.calls.get(row, 0) + 1

    def _begin(self) -> float:
        self._inner.append(0.0)
        return time.perf_counter()

    def _end(self, row: str, began: float) -> None:
        spent = time.perf_counter() - began
        self.add(row, spent - self._inner.pop())
        self._inner[-1] += spent


def in_thread(watch: Stopwatch, commit: Callable[..., Any]) -> Callable[..., Any]:
    """Time the writer's thread by its own CPU: most of a commit it waits, for the disk and for the loop."""

    def timed(*values: Any) -> Any:
        began = time.thread_time()
        try:
            return commit(*values)
        finally:
            watch.add(THREAD, time.thread_time() - began)

    return timed


def measured(door: str, rate: float, seconds: float) -> tuple[list[tuple[str, float]], float, float]:
    """Return each row's µs a message, the p99 in ms and the CPU of a core."""
    from gateway.cli.measure.flow import our_cores
    from gateway.cli.measure.load import Load
    from gateway.cli.measure.scratch import PATH, Scratch, prepared
    from tests.support.grpc_load import with_grpc

    with our_cores() as core:
        load = Load(PATH)
        with prepared(None, load.sink_port) as (config, port):
            with_grpc(config)
            out = config.parent / "stages.json"
            command = [sys.executable, __file__, "--watched", door, str(config), str(out)]
            if core is not None:
                command = ["taskset", "-c", str(core), *command]
            with (config.parent / "log").open("ab") as log:
                process = subprocess.Popen(command, stderr=log, env=environment(config))
            try:
                scratch = Scratch(process, port, time.monotonic())
                load.aim(port)
                load.first_reply(time.monotonic() + 30.0)
                send = through(door, load, scratch)
                send(200.0, 1.0)
                before = scratch.cpu_seconds()
                p99 = send(rate, seconds)
                spent = scratch.cpu_seconds() - before
            finally:
                process.terminate()
                process.wait(30.0)
                load.close()
            found = json.loads(out.read_text())
    messages = found["calls"]["2 acknowledge"]
    stages = sorted(dict.fromkeys(row for row, *_ in DOORS[door]), key=number_of)
    rows = [(row, found["seconds"].get(row, 0.0) / messages * 1e6) for row in [*stages, THREAD]]
    rows.append((REST, max(0.0, spent / (rate * seconds) * 1e6 - sum(cost for _, cost in rows))))
    return rows, p99, spent / seconds


def through(door: str, load: Load, scratch: Scratch) -> Callable[[float, float], float]:
    """Return what sends at a rate for some seconds, and returns the p99 in ms."""
    from gateway.cli.measure.figures import quantile
    from tests.support.grpc_load import GrpcLoad

    if door == "webhook":
        return lambda rate, seconds: load.run(rate, seconds, scratch.cpu_seconds).p99_ms
    calls = GrpcLoad(scratch.port)

    def send(rate: float, seconds: float) -> float:
        calls.begin()
        calls.at_rate(rate, seconds)
        calls.rest()
        return quantile(sorted(calls.replied), 0.99) * 1e3

    return send


def number_of(row: str) -> int:
    """Say where in the flow a stage stands."""
    return int(re.match(r"\d+", row)[0])  # type: ignore[index]


def environment(config: Path) -> dict[str, str]:
    import os

    return {**os.environ, "STATE_DIRECTORY": str(config.parent / "state"), "RUNTIME_DIRECTORY": str(config.parent)}


def table(rows: list[tuple[str, float]], rate: float) -> str:
    total = sum(cost for _, cost in rows)
    lines = [f"| stage, at {rate:g} messages a second | µs | share |", "|---|---:|---:|"]
    lines += [f"| {row} | {cost:.0f} | {cost / total:.0%} |" for row, cost in rows]
    return "\n".join([*lines, f"| **one message** | **{total:.0f}** | |"])


def main() -> None:
    if sys.argv[1:2] == ["--watched"]:
        watched(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--door", choices=DOORS, default="webhook")
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--readme", action="store_true")
    asked = parser.parse_args()
    rows, p99, cpu = measured(asked.door, asked.rate, asked.seconds)
    shown = table(rows, asked.rate)
    print(f"{shown}\n\np99 {p99:.1f} ms, {cpu:.0%} of a core, stopwatches included")
    if asked.readme:
        readme = READMES[asked.door]
        text = readme.read_text("utf-8")
        head, _, rest = text.partition(BEGIN)
        readme.write_text(f"{head}{BEGIN}\n{shown}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()
