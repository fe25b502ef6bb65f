"""Edit rules under traffic: how long until an edit is in force, and how late the loop is meanwhile.

    python tests/bench/reload_bench.py [--json] [--rules 100000] [--in-a-file 1000] [--rate 1000]

A whole gateway in memory (real flow, real rules, fake channel and journal) takes messages at a steady rate while
three things happen to a folder of rule files, each through the daemon's own reload: nothing, an edit of ten
rules all over a file that moves every line below them, and an edit that makes everything be compiled anew. A task that
wakes every millisecond tells how late the loop is, and how much this process computed meanwhile: a stall without
that is the machine's. Messages are timed from their arrival to the delivery of their reply. `live` is counted from the
moment the file is written until the new rules decide, the wait for the file to rest included where the watcher does it
(`watched`); `gc` is the longest collection of garbage.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).parents[2]))
from gateway.daemon.rulebuild import Compiled, compiled
from gateway.daemon.rulefiles import FolderLoader, read_rules
from gateway.daemon.rulereload import Live, RuleReload
from gateway.daemon.watching import Places, Watch
from gateway.flow.vocabulary import vocabulary
from tests.bench.rules_bench import generated
from tests.support.story import Story, gateway

QUIET_SECONDS = 3.0
CHANGED = 10
BURST = 5
FIELDS = {"channel": "message.channel", "type": "message.type", "sender": "message.sender.id"}


def write_rules(folder: Path, count: int, in_a_file: int) -> None:
    """Write rules as tests/bench/rules_bench.py generates them, so many in each file."""
    rules = []
    for made in generated(count):
        tests = " AND ".join(_test(*test) for test in made.tests)
        rules.append(f'RULE "r{made.number}"\nWHEN {tests}\nTHEN tag("t{made.number}")\n')
    for number, first in enumerate(range(0, count, in_a_file)):
        (folder / f"{number:04}.rules").write_text("".join(rules[first : first + in_a_file]))


def _test(field: str, operator: str, value: Any) -> str:
    shown = json.dumps(value)
    match operator:
        case "==":
            return f"{FIELDS[field]} == {shown}"
        case "contains":
            return f"message.content CONTAINS {shown}"
        case "starts":
            return f"message.content STARTS WITH {shown}"
        case "matches":
            return f"message.content MATCHES /{value}/"
        case _:
            return f"LENGTH(message.content) > {value}"


class Lateness:
    """How late the loop wakes a task that asks for every millisecond, what was computed then, and collections."""

    def __init__(self) -> None:
        self.readings: list[tuple[float, float]] = []
        self.collections: list[float] = [0.0]
        self._began = 0.0

    def collected(self, phase: str, _what: object) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.collections.append(time.perf_counter() - self._began)

    async def watch(self) -> None:
        gc.callbacks.append(self.collected)
        while True:
            due, computed = trio.current_time() + 0.001, time.process_time()
            await trio.sleep_until(due)
            self.readings.append((trio.current_time() - due, time.process_time() - computed))


async def traffic(story: Story, rate: int, waits: list[float]) -> None:
    """Offer messages at a steady rate, each in a conversation of its own."""
    channel = story.channels["chat"]
    arrived: dict[str, float] = {}
    deliver = channel.deliver

    async def timed(delivery: Any) -> Any:
        receipt = await deliver(delivery)
        waits.append(time.perf_counter() - arrived.pop(delivery.message.content))
        channel.deliveries.clear()
        channel.times.clear()
        return receipt

    channel.deliver = timed  # type: ignore[method-assign]
    began, number = trio.current_time(), 0
    while True:
        await trio.sleep_until(began + number / rate)
        while number < (trio.current_time() - began) * rate:
            text = f"message {number}"
            arrived[text] = time.perf_counter()
            story.offer(story.message(text, conversation=f"c{number % 5000}", sender=f"user{number % 5000}"))
            number += 1
            if number % BURST == 0:
                await trio.lowlevel.checkpoint()  # messages come by many sockets, not in one step
        story.notices.clear()


async def measured(
    what: str, work: Callable[[], Awaitable[float | None]], late: Lateness, waits: list[float]
) -> dict[str, Any]:
    await trio.sleep(0.3)  # making the edit's text held the loop, too
    late.readings.clear()
    late.collections[1:] = []
    waits.clear()
    began = time.perf_counter()
    live = await work() or time.perf_counter()
    await trio.sleep(0.5)
    ordered = sorted(waits)
    stall, computed = max(late.readings)
    return {
        "what": what,
        "live_ms": round((live - began) * 1000, 1),
        "worst_stall_ms": round(stall * 1000, 1),
        "computed_ms": round(computed * 1000, 1),
        "gc_ms": round(max(late.collections) * 1000, 1),
        "message_p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
        "message_worst_ms": round(ordered[-1] * 1000, 1),
        "messages": len(waits),
    }


async def run(count: int, in_a_file: int, rate: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rules(folder, count, in_a_file)
        words = vocabulary(pipelines=["echo"], models=["echo"], channels=["chat", "oncall"])
        files = read_rules(folder)
        done = compiled(files, words, FolderLoader(folder, "UTC"))
        assert isinstance(done, Compiled), done.problems[:3]
        async with gateway() as story, trio.open_nursery() as nursery:
            router = story.staging.router
            assert router is not None
            router.ruleset = done.ruleset
            serving, swapped = {"files": files}, list[float]()
            places = Places(folder, folder, folder)

            def swap(new: Compiled, read: dict[str, bytes]) -> None:
                router.ruleset = new.ruleset
                serving["files"] = read
                swapped.append(time.perf_counter())

            def live() -> Live:
                return Live(folder, router.ruleset, serving["files"])

            reload = RuleReload(live, swap, story.notices.append, time.time)
            late, waits = Lateness(), list[float]()
            nursery.start_soon(reload.let_go)
            nursery.start_soon(late.watch)
            nursery.start_soon(traffic, story, rate, waits)
            await trio.sleep(1.0)
            table = await measures(folder, reload, late, waits, places, nursery, swapped)
            nursery.cancel_scope.cancel()
        return table


async def measures(
    folder: Path,
    reload: RuleReload,
    late: Lateness,
    waits: list[float],
    places: Places,
    nursery: trio.Nursery,
    swapped: list[float],
) -> list[dict[str, Any]]:
    path = sorted(folder.glob("*.rules"))[0]

    async def edit(text: str) -> Callable[[], Awaitable[float]]:
        fresh = text.encode()

        async def work() -> float:
            # In a thread, as an editor is no part of the gateway: 9 MB of fresh pages take 40 ms.
            await trio.to_thread.run_sync(path.write_bytes, fresh)
            assert await reload.look(), reload.state.refused
            assert reload.state.changed == CHANGED, reload.state.changes
            await reload.settled()  # what is taken apart afterwards counts, too
            return swapped[-1]

        return work

    text = path.read_text()
    await reload.look()  # as the daemon does a second after its start
    table = [await measured("nothing", lambda: trio.sleep(QUIET_SECONDS), late, waits)]
    table.append(await measured("ten rules", await edit(ten(text, "a")), late, waits))
    table.append(await measured("ten rules again", await edit(ten(text, "bb")), late, waits))
    table.append(
        await measured(
            "ten rules, watched", await watched(path, reload, places, nursery, swapped, ten(text, "ccc")), late, waits
        )
    )
    table.append(await measured("all anew", await edit('LET x = ["x"]\n' + ten(text, "d")), late, waits))
    return table


def ten(text: str, word: str) -> str:
    """Return a text with ten rules changed, all over it, and more lines the longer the word is."""
    parts = text.split("RULE ")
    for index in range(1, len(parts), (len(parts) - 1) // CHANGED)[:CHANGED]:
        parts[index] = parts[index].replace('THEN tag("', "\n" * len(word) + f'THEN tag("{word}')
    return "RULE ".join(parts)


async def watched(
    path: Path, reload: RuleReload, places: Places, nursery: trio.Nursery, swapped: list[float], text: str
) -> Callable[[], Awaitable[float]]:
    changed, live = trio.Event(), trio.Event()
    armed = False

    def told() -> None:
        if armed:
            changed.set()

    async def obey() -> None:
        await changed.wait()
        await reload.look()
        live.set()

    nursery.start_soon(Watch(lambda: places, told).run)
    nursery.start_soon(obey)
    fresh = path.with_name(".fresh")
    fresh.write_text(text)
    await trio.sleep(1.5)
    armed = True

    async def work() -> float:
        fresh.rename(path)
        await live.wait()
        return swapped[-1]

    return work


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rules", type=int, default=100_000)
    arguments.add_argument("--in-a-file", type=int, default=1000)
    arguments.add_argument("--rate", type=int, default=1000)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    gc.collect()
    table = trio.run(run, given.rules, given.in_a_file, given.rate)
    if given.json:
        print(json.dumps(table))
        return
    columns = list(table[0])
    print(f"{given.rules:,} rules, {given.rate:,} messages a second")
    for row in ({column: column.replace("_", " ") for column in columns}, *table):
        print("  ".join(str(row[column]).rjust(max(len(column), 19 if column == "what" else 0)) for column in columns))


if __name__ == "__main__":
    main()
