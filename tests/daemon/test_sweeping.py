"""Which files are kept for longer than their time: those of what the journal keeps for longer."""

from __future__ import annotations

from typing import Any

import trio

from gateway.daemon.sweeping import DAY, named_by_what_is_kept, sweep_daily
from gateway.message.message import Attachment
from gateway.message.receipt import Bounced
from gateway.notices import RequestFailed
from tests.support.story import EPOCH, Story, gateway

RULES = """
WHEN message.content == "odd" THEN hold("look at it")
WHEN message.content == "fire" THEN forward("oncall", "duty") CONTINUE
"""


async def kept(story: Story, before: float = EPOCH + 31 * DAY) -> set[str]:
    ground = story.flow.ground
    return await named_by_what_is_kept(ground.journal, ground.sealer, before)  # type: ignore[arg-type]


async def test_files_of_what_waits_for_a_person_outlive_their_time_and_those_of_what_is_over_do_not(
    autojump_clock: Any,
) -> None:
    async with gateway(rules=RULES) as story:
        story.channels["oncall"].will(Bounced("no such room"))
        odd, fire, _ = [
            await story.receives(text, attachments=(Attachment(ref=f"file of {text}"),))
            for text in ("odd", "fire", "fine")
        ]
        await story.settles()
        assert await kept(story) == {"file of odd", "file of fire"}
        assert await kept(story, before=EPOCH - 2 * DAY) == set()
        assert await story.flow.recovery.readmit(odd, "released by an operator")
        await story.settles()
        assert await kept(story) == {"file of fire"}
        assert await story.flow.recovery.resend(f"{fire}.1", "retried by an operator")
        await story.settles()
        assert await kept(story) == set()


async def test_a_disk_that_fails_while_old_files_are_removed_ends_nothing_and_is_tried_again(
    autojump_clock: Any,
) -> None:
    class Broken:
        def __init__(self) -> None:
            self.asked: list[float] = []

        async def wall_before(self, seconds: float) -> float:
            await trio.lowlevel.checkpoint()
            self.asked.append(trio.current_time())
            raise OSError("I/O error")

    disk, told = Broken(), []
    with trio.move_on_after(2.5 * DAY):
        await sweep_daily(None, disk, None, 30, told.append)  # type: ignore[arg-type]
    assert disk.asked == [0, DAY, 2 * DAY]
    assert [type(notice) for notice in told] == [RequestFailed] * 3
