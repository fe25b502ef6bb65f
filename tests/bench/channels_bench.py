"""What a connected channel weighs, and what an IRC line costs: `python tests/bench/channels_bench.py [--channels 20]`.

Gateways in processes of their own beside stubs on loopback: with no chat platform, with one channel of a kind, with
many. The first one brings the adapter's code; what each further one adds is the weight of a connection. Then one IRC
channel is asked questions at a steady rate, as `slack_bench.py` and `matrix_bench.py` do for their platforms.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import trio

from gateway.channels.irc_lines import Lines
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp
from tests.bench.matrix_bench import Homeserver
from tests.bench.slack_bench import cpu_seconds
from tests.support.daemon import Daemon, daemon, scratch_folder
from tests.support.slack_stub import APP_TOKEN, BOT_TOKEN, SlackStub

CONFIG = """
[gateway]
default_pipeline = "echo"
log_format = "json"
[listen]
addresses = ["127.0.0.1:0"]
[models.echo]
provider = "echo"
[channels.hook]
type = "webhook"
auth = "none"
"""
IRC = """
[channels.irc{number}]
type = "irc"
host = "127.0.0.1"
port = {irc}
tls = false
nick = "bot{number}"
seconds_per_line = 0.0
"""
MATRIX = """
[channels.matrix{number}]
type = "matrix"
homeserver_url = "http://127.0.0.1:{matrix}"
server_name = "example.org"
hs_token = "file:token{number}"
as_token = "file:bot"
"""
SLACK = """
[channels.slack{number}]
type = "slack"
mode = "socket"
bot_token = "file:bot"
app_token = "file:app"
base_url = "http://127.0.0.1:{slack}/api/"
"""
_SETTLED_SECONDS = 3.0
KINDS = {"irc": IRC, "matrix": MATRIX, "slack": SLACK}


class IrcServer:
    """Welcomes everybody, answers pings, and counts what is said."""

    def __init__(self) -> None:
        self.said = 0
        self.streams: list[trio.SocketStream] = []
        self._one = trio.Lock()

    async def say(self, line: str) -> None:
        """Send a line to the only client."""
        async with self._one:
            await self.streams[0].send_all(f"{line}\r\n".encode())

    async def serve(self, stream: trio.SocketStream) -> None:
        """Talk to one client."""
        lines, nick = Lines(), ""
        self.streams.append(stream)
        async for received in stream:
            answers = b""
            for line in lines.feed(bytes(received)):
                self.said += line.command == "PRIVMSG"
                match line.command:
                    case "PING":
                        answers += f":s PONG s :{line.param(0)}\r\n".encode()
                    case "NICK":
                        nick = line.param(0)
                    case "CAP" if line.param(0) == "LS":
                        answers += b":s CAP * LS :\r\n"
                    case "CAP" if line.param(0) == "END":
                        answers += f":s 001 {nick} :Welcome\r\n:s 376 {nick} :End\r\n".encode()
            if answers:
                async with self._one:
                    await stream.send_all(answers)


@asynccontextmanager
async def platforms() -> AsyncIterator[tuple[IrcServer, dict[str, int]]]:
    """Run the stubs; yields the IRC server and everybody's port."""
    irc, homeserver = IrcServer(), open_tcp("127.0.0.1", 0)[0]
    async with SlackStub(again_seconds=60).open() as stub, trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, irc.serve, 0, host="127.0.0.1"))
        await nursery.start(Hub(Homeserver(), lambda _: None).serve, [homeserver])
        yield irc, {"irc": listener.socket.getsockname()[1], "matrix": homeserver.port, "slack": stub.port}
        nursery.cancel_scope.cancel()


@contextmanager
def gateway(channels: str) -> Iterator[Daemon]:
    """Run a gateway with these sections."""
    files = {
        "oclaw.toml": CONFIG + channels, "bot": BOT_TOKEN, "app": APP_TOKEN, "rules.d/main.rules": "",
        "pipelines.d/echo.yaml": 'pipeline: [{name: say, model: echo, input_mapping: ["user_message"]}]\n',
        **{f"token{number}": f"token-{number}" for number in range(200)},
    }  # fmt: skip
    with scratch_folder(files) as folder, daemon(folder) as running:
        yield running


async def weight(channels: str) -> float:
    """Return the KiB that a gateway has in memory once all its chat channels are connected."""
    running = gateway(channels)
    it = await trio.to_thread.run_sync(running.__enter__)
    try:
        # Its log tells a burst in extracts, so nothing says "all connected"; twenty take half a second.
        await trio.sleep(_SETTLED_SECONDS)
        status = Path(f"/proc/{it.process.pid}/status").read_text()
        return float(status.partition("VmRSS:")[2].split()[0])
    finally:
        running.__exit__(None, None, None)


async def weigh(many: int, ports: dict[str, int]) -> None:
    """Print one line for each kind."""
    none = await weight("")
    print(f"a gateway with no chat platform: {none / 1024:.1f} MiB")
    for kind, section in KINDS.items():
        sections = [section.format(number=number, **ports) for number in range(many)]
        one, all_ = await weight(sections[0]), await weight("".join(sections))
        each = (all_ - one) / (many - 1)
        print(f"{kind:7} the first channel {(one - none) / 1024:.1f} MiB, each further one {each:.0f} KiB")


async def ask(irc: IrcServer, port: int, rate: float, seconds: float) -> None:
    """Print what a line and its answer cost."""
    irc.streams.clear()
    running = gateway(IRC.format(number=0, irc=port))
    it = await trio.to_thread.run_sync(running.__enter__)
    try:
        while not irc.streams:
            await trio.sleep(0.1)
        await trio.sleep(1.0)
        await _questions(irc, rate, 2.0)
        said, before, began = irc.said, cpu_seconds(it.process.pid), time.monotonic()
        count = await _questions(irc, rate, seconds)
        while irc.said - said < count:
            await trio.sleep(0.02)
        took, cpu = time.monotonic() - began, cpu_seconds(it.process.pid) - before
        print(f"irc     {count} lines in {took:.1f} s: {cpu / count * 1e6:.0f} µs of the daemon's CPU a line answered")
    finally:
        running.__exit__(None, None, None)


async def _questions(irc: IrcServer, rate: float, seconds: float) -> int:
    count, began = int(rate * seconds), trio.current_time()
    for number in range(count):
        await trio.sleep_until(began + number / rate)
        await irc.say(f":ann{number % 100}!a@h PRIVMSG bot0 :what is up?")
    return count


async def main(many: int, rate: float, seconds: float) -> None:
    async with platforms() as (irc, ports):
        await ask(irc, ports["irc"], rate, seconds)
        await weigh(many, ports)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--channels", type=int, default=20, help="how many are many")
    parser.add_argument("--rate", type=float, default=200, help="lines a second")
    parser.add_argument("--seconds", type=float, default=6)
    given = parser.parse_args()
    trio.run(main, given.channels, given.rate, given.seconds)
