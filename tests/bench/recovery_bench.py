"""How long a start takes over a journal with 100,000 unfinished replies, and how much memory.

    python tests/bench/recovery_bench.py --replies 100000 --destinations 200

Prints the seconds from opening the flow to the first delivery, to the end of recovery, and the growth of memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.flow.accept import Limits
from gateway.flow.retry import RetryPolicy
from gateway.journal import open_journal
from gateway.message.receipt import Deferred, Delivered
from tests.support.story import FakeChannel, gateway

PATIENT = RetryPolicy(attempts=1000)
ROOMY = Limits(most_in_lane=1_000_000, most_waiting=1_000_000)


def resident() -> float:
    """Return this process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def fill(path: Path, replies: int, destinations: int) -> None:
    def down(channel: FakeChannel) -> None:
        async def deliver(delivery):
            await trio.lowlevel.checkpoint()
            return Deferred("down", 86_000.0)

        channel.deliver = deliver

    async with gateway(journal=open_journal(path), prepare=down, policy=PATIENT, limits=ROOMY) as story:
        for start in range(0, replies, 200):
            batch = [
                story.message("x" * 80, conversation=f"c{number % destinations}")
                for number in range(start, min(start + 200, replies))
            ]
            answers = story.offer(*batch)
            while not answers:
                await trio.sleep(0.001)
            while story.flow.lanes.total:
                await trio.sleep(0.001)
        print(f"filled: {story.flow.outbox.pending} pending, {story.flow.outbox.in_memory} of them in memory")


async def recover(path: Path) -> None:
    # As in the daemon, nothing is sent before all of it is taken up.
    began, first, ready = time.perf_counter(), list[float](), trio.Event()

    def well(channel: FakeChannel) -> None:
        async def deliver(delivery):
            await ready.wait()
            first.append(time.perf_counter())
            return Delivered()

        channel.deliver = deliver

    before = resident()
    async with gateway(journal=open_journal(path), prepare=well, policy=PATIENT, limits=ROOMY) as story:
        recovered, grown = time.perf_counter() - began, resident() - before
        ready.set()
        story.flow.outbox.wake("chat")
        while not first:
            await trio.sleep(0.001)
        print(f"recovered in {recovered:.2f} s, first delivery after {first[0] - began:.2f} s, {grown:.0f} MiB more")
        print(f"{story.flow.outbox.pending} pending, {story.flow.outbox.in_memory} in memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--destinations", type=int, default=200)
    parser.add_argument("--recover", type=Path, help="only take up what this journal holds")
    arguments = parser.parse_args()
    if arguments.recover:
        trio.run(recover, arguments.recover)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite3"
        trio.run(fill, path, arguments.replies, arguments.destinations)
        # A process of its own, as the memory that filling took would hide what recovery takes.
        subprocess.run([sys.executable, __file__, "--recover", str(path)], check=True)


if __name__ == "__main__":
    main()
