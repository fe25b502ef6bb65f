"""Measure `Send` through the whole durable flow: `python tests/bench/grpc_flow_bench.py [--rate 1000] [--seconds 8]`.

Runs conf/examples/bench with a grpc channel on a free port, pinned to one core, and calls it from another: first at a
fixed rate, where a late call counts as latency, then with 64 callers that never pause. A subscriber hears the replies.
Replies are whole, as on the webhook that flow_bench.py measures, unless --stream is given.
`sent` is from the moment a call was due until its acknowledgement, `replied` until the subscriber has the reply.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import trio

from gateway.api.v1.gateway_grpc import GatewayStub
from gateway.api.v1.gateway_pb2 import SendRequest, SubscribeRequest
from gateway.api.v1.message_pb2 import Conversation, Message
from gateway.cli.measure.figures import quantile
from gateway.cli.measure.flow import our_cores
from gateway.cli.measure.scratch import Scratch, prepared, started
from protocols.grpc.channel import Channel, open_channel

TOKEN = "bench-token"
CHANNEL = '\n[channels.rpc]\ntype = "grpc"\ntokens = { bench = "file:token" }\n'
CALLERS = 64
# Enough that the order within a conversation holds nobody up.
CONVERSATIONS = 200


class Bench:
    def __init__(self, channel: Channel) -> None:
        self.stub, self.metadata = GatewayStub(channel), {"authorization": f"Bearer {TOKEN}"}
        self.sent: list[float] = []
        self.replied: list[float] = []
        self.errors = 0
        self._due: dict[str, float] = {}
        self._number = 0

    async def hear(self) -> None:
        async with self.stub.Subscribe.open(metadata=self.metadata) as stream:
            await stream.send_message(SubscribeRequest(), end=True)
            async for event in stream:
                if event.HasField("reply"):
                    due = self._due.pop(event.reply.message.reply_to, None)
                    if due is not None:
                        self.replied.append(trio.current_time() - due)

    async def send(self, due: float) -> None:
        self._number += 1
        id = str(self._number)
        message = Message(
            id=id, content=f"hello-{id}", conversation=Conversation(id=f"c{self._number % CONVERSATIONS}")
        )
        message.metadata.update({"route": "abc"[self._number % 3]})
        self._due[id] = due
        try:
            await self.stub.Send(SendRequest(message=message), metadata=self.metadata, timeout=10)
            self.sent.append(trio.current_time() - due)
        except Exception:
            self._due.pop(id, None)
            self.errors += 1

    async def at_rate(self, rate: float, seconds: float) -> None:
        async with trio.open_nursery() as nursery:
            begin = trio.current_time()
            for index in range(int(rate * seconds)):
                due = begin + index / rate
                await trio.sleep_until(due)
                nursery.start_soon(self.send, due)

    async def without_pause(self, seconds: float) -> None:
        end = trio.current_time() + seconds

        async def caller() -> None:
            while trio.current_time() < end:
                await self.send(trio.current_time())

        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(caller)

    async def rest(self) -> None:
        with trio.move_on_after(10):
            while self._due:
                await trio.sleep(0.01)

    def figures(self, name: str, took: float, cpu: float) -> None:
        share = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        of = {"sent": sorted(self.sent), "replied": sorted(self.replied)}
        ms = {what: {k: round(quantile(v, q) * 1e3, 2) for k, q in share.items()} for what, v in of.items() if v}
        rate, lost = round(len(self.replied) / took), len(self._due)
        print(
            json.dumps({"load": name, "per_s": rate, "errors": self.errors, "lost": lost, "cpu": round(cpu, 2), **ms})
        )
        self.sent, self.replied, self.errors = [], [], 0


async def measure(scratch: Scratch, rate: float, seconds: float) -> None:
    while scratch.process.poll() is None:
        try:
            await (await trio.open_tcp_stream("127.0.0.1", scratch.port)).aclose()
            break
        except OSError:
            await trio.sleep(0.05)
    async with open_channel("127.0.0.1", scratch.port) as channel, trio.open_nursery() as nursery:
        bench = Bench(channel)
        nursery.start_soon(bench.hear)
        await bench.at_rate(200, 1.0)  # connections, imports and caches are warm afterwards
        await bench.rest()
        bench.sent, bench.replied = [], []
        for name, load in (
            (f"{rate:g}/s", lambda: bench.at_rate(rate, seconds)),
            (f"{CALLERS} callers", lambda: bench.without_pause(seconds)),
        ):
            began, cpu = trio.current_time(), scratch.cpu_seconds()
            await load()
            took = trio.current_time() - began
            await bench.rest()
            bench.figures(name, took, (scratch.cpu_seconds() - cpu) / took)
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--stream", action="store_true", help="say replies in pieces, as a pipeline does by default")
    parser.add_argument("--disk", type=Path, help="where the journal is written")
    options = parser.parse_args()
    with our_cores() as core, prepared(options.disk, 9901) as (config, port):
        (config / "token").write_text(TOKEN)
        (config / "token").chmod(0o600)
        with (config / "oclaw.toml").open("a") as file:
            file.write(CHANNEL)
        for pipeline in (config / "pipelines.d").glob("*.yaml"):
            pipeline.write_text(f"stream: {str(options.stream).lower()}\n{pipeline.read_text()}")
        with started(config, port, core) as scratch:
            print(json.dumps({"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}))
            trio.run(measure, scratch, options.rate, options.seconds)


main()
