"""How much one conversation that floods, and one that waits for a slow pipeline, delay all others.

`python tests/bench/fairness_bench.py [--rate 200]` runs conf/examples/bench and sends messages of 97 conversations at a
fixed rate: alone; beside one conversation of which 64 messages are under way all the time, as many as it can take; and
beside one whose pipeline takes five seconds a message. Prints how long the 97 waited for their replies.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.cli.measure.flow import our_cores
from gateway.cli.measure.machine import machine
from gateway.cli.measure.scratch import PATH, prepared, started
from tests.support.flood import Account, Flood

UNDER_WAY = 64
SLOW_STEP = """
import trio


async def slowly(user_message):
    await trio.sleep(5)
    return "late"
"""
SLOW_PIPELINE = "pipeline:\n  - name: slow\n    function: steps:slowly\n    input_mapping: [user_message]\n"


@contextmanager
def beside(flood: Flood, port: int) -> Iterator[None]:
    """Keep a conversation busy from a process of its own while the block runs."""

    def keep() -> None:
        flood.aim(port)
        flood.closed(UNDER_WAY, 3600.0)

    process = multiprocessing.get_context("fork").Process(target=keep, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def told(what: str, account: Account, alone: Account | None = None) -> Account:
    more = "" if alone is None else f"{account.p(0.99) - alone.p(0.99):+.1f}"
    print(
        f"{what:<34} {account.p(0.5):<7.1f} {account.p(0.99):<7.1f} {account.p(1.0):<7.1f} {more:<8} {account.refused}"
    )
    return account


def measure(port: int, others: Flood, flooding: Flood, slow: Flood, rate: float, seconds: float) -> None:
    others.aim(port)
    others.first_reply(30.0)
    others.offer(rate, 2.0)
    print("97 CONVERSATIONS, ms               P50     P99     MAX     P99 MORE REFUSED")
    alone = told("alone", others.offer(rate, seconds))
    with beside(flooding, port):
        others.offer(rate, 1.0)
        told("beside one that floods", others.offer(rate, seconds), alone)
    with beside(slow, port):
        others.offer(rate, 1.0)
        told("beside one with a slow pipeline", others.offer(rate, seconds), alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second of the 97")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    print(machine())
    others = Flood(PATH, 64, users=[f"u{number:02}" for number in range(97)], routes="ab")
    flooding, slow = Flood(PATH, 64, users=["flood"], routes="a"), Flood(PATH, 64, users=["slow"], routes="c")
    with our_cores() as core, prepared(Path(tempfile.gettempdir()), others.sink_port) as (config, port):
        (config / "hooks" / "steps.py").write_text(SLOW_STEP, "utf-8")
        (config / "pipelines.d" / "c.yaml").write_text(SLOW_PIPELINE, "utf-8")
        sinks = ", ".join(f'"http://127.0.0.1:{each.sink_port}/"' for each in (others, flooding, slow))
        file = config / "oclaw.toml"
        text = file.read_text("utf-8").replace(f'"http://127.0.0.1:{others.sink_port}/"', sinks)
        file.write_text(text, "utf-8")
        with started(config, port, core):
            measure(port, others, flooding, slow, options.rate, options.seconds)


if __name__ == "__main__":
    main()
