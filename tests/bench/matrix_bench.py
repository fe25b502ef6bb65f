"""What a Matrix message costs: the acknowledgement's delay at a steady rate, and processor time for the whole walk.

    python tests/bench/matrix_bench.py [--rate 200] [--seconds 10] [--events 1]

Runs a real gateway in a process of its own. This process is the homeserver: it sends transactions at the rate,
whatever the answers do (so a delay is counted from the moment a transaction was due), and takes the replies.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).parents[2]))

import trio

from protocols.http1.messages import Response
from protocols.http_client.client import HttpClient
from protocols.hub.exchange import Exchange
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp
from tests.real.daemon import Daemon, free_port, running

_CONFIGURATION = """\
[gateway]
default_pipeline = "chat"
[listen]
addresses = ["127.0.0.1:{port}"]
[models.echo]
provider = "echo"
[channels.matrix]
type = "matrix"
enabled = true
homeserver_url = "http://127.0.0.1:{homeserver}"
server_name = "example.org"
hs_token = "env:TOKEN"
as_token = "env:TOKEN"
typing = false
"""
_ROOMS = 50
_JSON = (("Content-Type", "application/json"),)


class Homeserver:
    """Answers what the gateway asks, and counts its replies."""

    def __init__(self) -> None:
        self.replies = 0

    def __call__(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if "/send/" in path:
            self.replies += 1
            body = b'{"event_id":"$%d"}' % self.replies
        elif path.endswith("/joined_members"):
            body = b'{"joined":{"@anna:example.org":{"display_name":"Anna"}}}'
        elif "/state/" in path:
            exchange.answer(Response(404, _JSON, b'{"errcode":"M_NOT_FOUND"}'))
            return
        else:
            body = b"{}"
        exchange.answer(Response(200, _JSON, body))


def transaction(number: int, events: int) -> bytes:
    """Make a transaction whose events stand in different rooms."""
    return json.dumps({"events": [_event(number * events + each) for each in range(events)]}).encode()


def _event(number: int) -> dict[str, object]:
    return {
        "type": "m.room.message",
        "event_id": f"$event{number}",
        "room_id": f"!room{number % _ROOMS}:example.org",
        "sender": "@anna:example.org",
        "origin_server_ts": 1_700_000_000_000 + number,
        "content": {"msgtype": "m.text", "body": f"message {number}: a sentence as people write it", "m.mentions": {}},
        "unsigned": {"age": 12},
    }


async def measure(rate: float, seconds: float, events: int) -> None:
    """Print the figures."""
    homeserver, listener, port = Homeserver(), open_tcp("127.0.0.1", 0)[0], free_port()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(
            Path(folder) / "gateway",
            port,
            _CONFIGURATION.format(port=port, homeserver=listener.port),
            {"TOKEN": "t", "STATE_DIRECTORY": f"{folder}/state"},
        )
        daemon.write("pipelines.d/chat.yaml", 'pipeline: [{name: a, model: echo, input_mapping: ["user_message"]}]\n')
        (daemon.folder / "rules.d").mkdir()
        async with trio.open_nursery() as nursery:
            await nursery.start(Hub(homeserver, lambda _: None).serve, [listener])
            async with running(daemon), HttpClient() as http:
                await _load(daemon, http, rate, 2.0, events, start=0)
                begun, replies = daemon.cpu_seconds(), homeserver.replies
                number = int(rate * 2) + 1
                delays = await _load(daemon, http, rate, seconds, events, start=number)
                while homeserver.replies - replies < len(delays) * events:
                    await trio.sleep(0.05)
                spent = daemon.cpu_seconds() - begun
            nursery.cancel_scope.cancel()
    cuts = quantiles(delays, n=1000)
    messages = len(delays) * events
    print(
        f"{messages} messages in transactions of {events} at {rate:g}/s, a reply to each; load {os.getloadavg()[0]:.1f}"
    )
    print(f"ack: p50 {cuts[499] * 1e3:.1f} ms, p99 {cuts[989] * 1e3:.1f} ms, worst {max(delays) * 1e3:.1f} ms")
    print(f"processor time of the gateway: {spent / messages * 1e6:.0f} µs a message, its reply included")


async def _load(
    daemon: Daemon, http: HttpClient, rate: float, seconds: float, events: int, *, start: int
) -> list[float]:
    delays: list[float] = []
    headers = (*_JSON, ("Authorization", "Bearer t"))

    async def one(number: int, due: float) -> None:
        url = f"{daemon.url}/_matrix/app/v1/transactions/{number}"
        answer = await http.request("PUT", url, headers=headers, body=transaction(number, events))
        assert answer.status == 200, answer.body
        delays.append(trio.current_time() - due)

    async with trio.open_nursery() as nursery:
        begun = trio.current_time()
        for index in range(int(rate * seconds)):
            due = begun + index / rate
            await trio.sleep_until(due)
            nursery.start_soon(one, start + index, due)
    return delays


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--events", type=int, default=1)
    given = parser.parse_args()
    trio.run(measure, given.rate, given.seconds, given.events)
