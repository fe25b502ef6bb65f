"""What the service manager's watchdog is fed by: a journal that gets on, whatever it is at."""

from __future__ import annotations

from typing import Any

import trio

from gateway.daemon.gauges import Pulse
from gateway.journal import Memory, open_memory_journal
from gateway.message.lifecycle import DeliveryState
from gateway.records import Settle

LOOKS_SECONDS = 10.0


async def looks(pulse: Pulse, count: int) -> list[bool]:
    seen = []
    for _ in range(count):
        await trio.sleep(LOOKS_SECONDS)
        seen.append(pulse.alive())
    return seen


async def test_a_gateway_that_only_sends_is_alive(autojump_clock: Any) -> None:
    async with open_memory_journal() as journal, trio.open_nursery() as nursery:

        async def sends() -> None:
            for number in range(1000):
                journal.submit(Settle(id=f"{number}.0", state=DeliveryState.DELIVERED, at=1.0, attempt=1))
                await trio.sleep(0.3)

        pulse = Pulse(journal)
        nursery.start_soon(sends)
        assert all(await looks(pulse, 18))
        nursery.cancel_scope.cancel()


async def test_a_journal_that_stands_still_for_a_minute_is_not_alive_and_is_when_it_goes_on(
    autojump_clock: Any,
) -> None:
    memory = Memory()
    async with open_memory_journal(memory) as journal:
        pulse = Pulse(journal)
        assert all(await looks(pulse, 10)), "nothing has to be done"
        memory.pause_commits()
        journal.submit(Settle(id="a.0", state=DeliveryState.DELIVERED, at=1.0, attempt=1))
        assert await looks(pulse, 8) == [True] * 6 + [False] * 2
        memory.resume_commits()
        assert all(await looks(pulse, 2))


async def test_a_disk_that_refuses_is_no_reason_to_start_again(autojump_clock: Any) -> None:
    memory = Memory()
    async with open_memory_journal(memory) as journal:
        pulse = Pulse(journal)
        memory.fail_commits()
        journal.submit(Settle(id="a.0", state=DeliveryState.DELIVERED, at=1.0, attempt=1))
        assert all(await looks(pulse, 12))
        memory.fail_commits(0)
