"""What Slack costs: `python tests/bench/slack_bench.py [--rate 200] [--seconds 10]`.

A whole daemon with the echo model beside a stub of Slack, on loopback. For each way in: how long from an event's moment
to its acknowledgement (which follows the durable commit), and the daemon's CPU for one message and its posted reply.
Stub and sender share this process, so the times include their waiting for a core. At last, the adapter's own share.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import trio

from gateway.testing.channels import MOMENT, bench, delivery
from protocols.http_client.client import HttpClient
from tests.channels.slack_words import SECRET, callback, channel, post, posted, reply, told
from tests.support.daemon import Daemon, daemon, scratch_folder
from tests.support.slack_stub import APP_TOKEN, BOT_TOKEN, SlackStub

# Conversations take turns.
ROOMS = 100
CONFIG = """
[gateway]
default_pipeline = "echo"
log_format = "json"
[listen]
addresses = ["127.0.0.1:0"]
[flow]
in_groups = "always"
[models.echo]
provider = "echo"
[channels.slack]
type = "slack"
mode = "{mode}"
bot_token = "file:bot"
signing_secret = "file:signing"
app_token = "file:app"
base_url = "{base_url}"
stream = false
message_seconds = 0.0
"""


class Town:
    """A stub and a daemon that is ready for it."""

    def __init__(self, stub: SlackStub, gateway: Daemon) -> None:
        self.stub, self.url, self.pid = stub, f"{gateway.url}/channels/slack", gateway.process.pid
        self.http = HttpClient()
        self.waits: list[float] = []

    def cpu(self) -> float:
        """CPU seconds of the daemon so far."""
        return cpu_seconds(self.pid)

    async def by_http(self, event: dict[str, Any], at: float) -> None:
        """Tell of one event, and note how long its 200 took."""
        asked = told(event, at=time.time())
        answered = await self.http.request("POST", self.url, headers=tuple(asked.headers)[1:], body=asked.body)
        assert answered.status == 200, answered.status
        self.waits.append(trio.current_time() - at)

    async def by_socket(self, event: dict[str, Any], at: float) -> None:
        """Send one envelope, and note how long its acknowledgement took."""
        done = trio.Event()
        envelope_id = self.stub.tell(callback(event))
        self.stub.when_acknowledged[envelope_id] = done.set
        await done.wait()
        self.waits.append(trio.current_time() - at)


@asynccontextmanager
async def town(mode: str) -> AsyncIterator[Town]:
    """Start both."""
    async with SlackStub(again_seconds=30).open() as stub:
        files = {
            "oclaw.toml": CONFIG.format(mode=mode, base_url=stub.base_url),
            "bot": BOT_TOKEN, "app": APP_TOKEN, "signing": SECRET, "rules.d/main.rules": "",
            "pipelines.d/echo.yaml": 'pipeline: [{name: say, model: echo, input_mapping: ["user_message"]}]\n',
        }  # fmt: skip
        with scratch_folder(files) as folder:
            running = daemon(folder)
            gateway = await trio.to_thread.run_sync(running.__enter__)
            try:
                place = Town(stub, gateway)
                await stub.until(lambda: any(method == "auth.test" for method, _ in stub.calls))
                await stub.until(lambda: mode == "events" or stub.sockets)
                yield place
            finally:
                running.__exit__(None, None, None)


async def measure(mode: str, rate: float, seconds: float) -> None:
    """Print one line of figures."""
    async with town(mode) as place:
        tell = place.by_http if mode == "events" else place.by_socket
        await _send(place, tell, rate, 2.0, "warm")
        place.waits.clear()
        posted, before, began = len(place.stub.posts), place.cpu(), time.monotonic()
        count = await _send(place, tell, rate, seconds, "run")
        await place.stub.until(lambda: len(place.stub.posts) - posted >= count)
        took, cpu = time.monotonic() - began, place.cpu() - before
    waits = sorted(place.waits)
    at = lambda share: waits[min(len(waits) - 1, int(len(waits) * share))] * 1000  # noqa: E731
    print(
        f"{mode:7} {count} messages in {took:.1f} s: ack p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, "
        f"max {waits[-1] * 1000:.1f} ms; {cpu / count * 1e6:.0f} µs of the daemon's CPU a message with its reply"
    )


async def _send(place: Town, tell: Any, rate: float, seconds: float, name: str) -> int:
    count = int(rate * seconds)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(count):
            at = began + number / rate
            await trio.sleep_until(at)
            stamp = f"{1_700_000_000 + (name == 'run') * 1_000_000 + number // 1000}.{number % 1000:06d}"
            nursery.start_soon(tell, post("what is up?", channel=f"C{number % ROOMS:03d}", ts=stamp), at)
    return count


async def share() -> None:
    """Print what of that CPU is the adapter's own: from a signed request to a message, from a reply to its receipt."""
    table = bench(posted())
    it = channel(table.kit, message_seconds=0.0)
    asked = [told(post("what is up?", ts=f"1700000000.{number:06d}")) for number in range(3000)]
    began = time.process_time()
    for each in asked:
        it.receive(each, MOMENT)
    middle, one = time.process_time(), delivery(reply("hello **you**"))
    for _ in asked:
        await it.deliver(one)
    ended = time.process_time()
    came, went = (middle - began) / len(asked) * 1e6, (ended - middle) / len(asked) * 1e6
    print(f"the adapter alone: {came:.0f} µs a message in, {went:.0f} µs a reply out")


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=200, help="messages a second")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    for mode in ("events", "socket"):
        trio.run(measure, mode, options.rate, options.seconds)
    trio.run(share)


if __name__ == "__main__":
    main()
