"""What the journal costs: rows a second, waiting times, and the CPU of its writer.

    python tests/bench/journal_bench.py [folder]

Each producer stores a 300-byte message, waits for its commit and stores the next. A "message"
is the whole life: accepted, handed over with one reply (each waited for), settled (not waited for).
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

import trio

from gateway.journal import open_journal
from gateway.journal.sqlite import WRITER_THREAD
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.ports import Journal
from gateway.records import Accept, DeliveryRecord, HandOver, InboundRecord, Settle

SEALED = bytes(range(256)) + bytes(44)
SECONDS = 3.0


def message(number: int) -> InboundRecord:
    digest = number.to_bytes(8, "big")[::-1] * 2
    lane = (number % 1000).to_bytes(8, "big")[::-1] * 2
    return InboundRecord(
        id=f"0190aaaa-bbbb-7ccc-8ddd-{number:012x}",
        channel="bench",
        dedupe=digest,
        dedupe_seconds=86400.0,
        lane=lane,
        sender=lane,
        received_at=time.time(),
        sealed=SEALED,
    )


def reply(record: InboundRecord) -> DeliveryRecord:
    now = time.time()
    return DeliveryRecord(
        id=f"{record.id}.0",
        envelope_id=record.id,
        channel="bench",
        destination=record.lane,
        created_at=now,
        expires_at=now + 3600,
        sealed=SEALED,
    )


class Figures:
    """Waiting times of commits, and the CPU of the two threads over the run."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.count = 0
        writer = next(thread for thread in threading.enumerate() if thread.name == WRITER_THREAD)
        self._clock = time.pthread_getcpuclockid(writer.ident or 0)
        self._began = (time.perf_counter(), time.clock_gettime(self._clock), time.thread_time())

    def line(self, title: str) -> str:
        seconds = time.perf_counter() - self._began[0]
        writer = time.clock_gettime(self._clock) - self._began[1]
        loop = time.thread_time() - self._began[2]
        waits = sorted(self.waits)
        each = 1e6 / max(self.count, 1)
        return (
            f"{title:34} {self.count / seconds:9.0f}/s  p50 {waits[len(waits) // 2] * 1e3:6.2f} ms  "
            f"p99 {waits[len(waits) * 99 // 100] * 1e3:6.2f} ms  max {waits[-1] * 1e3:6.1f} ms  "
            f"writer {writer * each:5.1f} us  loop {loop * each:5.1f} us"
        )


async def rows(journal: Journal, producers: int) -> str:
    """Store messages from so many producers, each waiting for its own commit."""
    figures, ends, numbers = Figures(), time.perf_counter() + SECONDS, iter(range(10**9))
    base = int(time.time() * 1000) * 100_000

    async def produce() -> None:
        task = trio.lowlevel.current_task()
        while time.perf_counter() < ends:
            began = time.perf_counter()
            journal.submit(Accept((message(base + next(numbers)),)), lambda _: trio.lowlevel.reschedule(task))
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
            figures.waits.append(time.perf_counter() - began)
            figures.count += 1

    async with trio.open_nursery() as nursery:
        for _ in range(producers):
            nursery.start_soon(produce)
    return figures.line(f"rows, {producers} producers")


async def lives(journal: Journal, rate: int) -> str:
    """Walk whole messages; `rate` a second, or, when 0, 256 always under way."""
    figures, ends = Figures(), time.perf_counter() + SECONDS
    base, number, under_way = int(time.time() * 1000) * 100_000, 0, 0

    def walk(number: int) -> None:
        nonlocal under_way
        under_way += 1
        began, record = time.perf_counter(), message(base + number)

        def accepted(_: object) -> None:
            figures.waits.append(time.perf_counter() - began)
            work = HandOver(
                id=record.id, state=InboundState.DONE, at=time.time(), note=b"n" * 120, deliveries=(reply(record),)
            )
            journal.submit(work, handed_over)

        def handed_over(_: object) -> None:
            nonlocal under_way
            under_way -= 1
            figures.count += 1
            mark = Settle(id=f"{record.id}.0", state=DeliveryState.DELIVERED, at=time.time(), attempt=1)
            journal.submit(mark)

        journal.submit(Accept((record,)), accepted)

    began = time.perf_counter()
    while time.perf_counter() < ends:
        want = 256 - under_way if not rate else int((time.perf_counter() - began) * rate) - number
        for _ in range(want):
            number += 1
            walk(number)
        await trio.sleep(0.0005)
    with trio.move_on_after(5):
        while under_way:
            await trio.sleep(0.01)
    return figures.line(f"messages, {rate or 'saturated'}{'/s' if rate else ''}")


async def main(folder: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        async with open_journal(Path(place) / "journal.sqlite") as journal:
            await trio.sleep(0.1)  # until the writer runs
            for producers in (1, 32, 256):
                print(await rows(journal, producers), flush=True)
            for rate in (1000, 0):
                print(await lives(journal, rate), flush=True)
            for name in sorted(Path(place).iterdir()):
                print(f"{name.name:24} {name.stat().st_size / 1e6:8.1f} MB")


if __name__ == "__main__":
    trio.run(main, sys.argv[1] if len(sys.argv) > 1 else None)
