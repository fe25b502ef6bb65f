"""Plug the stages together: what the daemon runs and the stories in tests run is this one flow.

`open_flow` starts the tasks a flow needs (the timers, the watch over delays) and nothing
else; walks and deliveries add theirs as they go. Leaving the block cancels what still runs; what
was accepted is in the journal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import trio
from msgspec import Struct

from gateway.flow.accept import ChannelInlet, Door, Limits
from gateway.flow.disabled import Disabled
from gateway.flow.handover import Clerk, Cut
from gateway.flow.lanes import Lanes
from gateway.flow.outbox import Outbox
from gateway.flow.recovery import Recovery
from gateway.flow.results import JournalResults
from gateway.flow.retry import RetryPolicy
from gateway.flow.seen import Seen
from gateway.flow.settle import Settler
from gateway.flow.shelf import Shelf
from gateway.flow.standstill import refuses
from gateway.flow.timers import Timers
from gateway.flow.typing import Typist
from gateway.flow.walk import Stages, Walker
from gateway.message.seal import RecordKind, Sealer
from gateway.notices import JournalFailed, Report
from gateway.ports import Channel, Journal, Traits
from protocols.transport.steps import InStep, at_once

# A page takes some 2 ms of the loop to remember.
DIGESTS_A_PAGE = 2_000


class Ground(Struct, frozen=True, kw_only=True):
    """What a flow stands on. `now` gives epoch seconds, `random` bytes, `spread` a number in [0, 1)."""

    journal: Journal
    sealer: Sealer
    report: Report
    now: Callable[[], float]
    random: Callable[[int], bytes]
    spread: Callable[[], float]
    limits: Limits = Limits()
    policy: RetryPolicy = RetryPolicy()
    poison_attempts: int = 3
    in_step: InStep = at_once


class Flow:
    """One running flow; its parts are there to be asked and fed."""

    def __init__(self, nursery: trio.Nursery, ground: Ground, channels: Mapping[str, Channel], stages: Stages) -> None:
        journal, sealer, report, now = ground.journal, ground.sealer, ground.report, ground.now
        self.ground, self.channels = ground, channels
        self.seen = Seen()
        self.results = JournalResults(journal, sealer)
        self.settler = Settler(journal, sealer, report, now)
        self.timers = Timers()
        self.outbox = Outbox(
            nursery,
            settler=self.settler,
            shelf=Shelf(journal, sealer, self.settler, self.traits_of, report, now),
            disabled=Disabled(journal, sealer, self.timers, report),
            timers=self.timers,
            policy=ground.policy,
            report=report,
            now=now,
            spread=ground.spread,
            most_in_memory=ground.limits.most_replies_in_memory,
            refused=partial(refuses, journal),
            in_step=ground.in_step,
        )
        self.clerk = Clerk(
            journal=journal,
            sealer=sealer,
            outbox=self.outbox,
            traits_of=self.traits_of,
            cut_of=self.cut_of,
            policy=ground.policy,
            ended=self.results.ended,
            delay=lambda envelope, seconds: self.recovery.delay(envelope, seconds),
            report=report,
            now=now,
        )
        self.typist = Typist(nursery, channels, report)
        self.walker = Walker(stages, report)
        self.lanes = Lanes(
            nursery,
            walk=self.walker.walk,
            hand_over=self.clerk.hand_over,
            report=report,
            traits_of=self.traits_of,
            poison_attempts=ground.poison_attempts,
            in_step=ground.in_step,
        )
        self.door = Door(
            journal=journal,
            sealer=sealer,
            lanes=self.lanes,
            seen=self.seen,
            limits=ground.limits,
            report=report,
            now=now,
            random=ground.random,
            in_step=ground.in_step,
        )
        self.recovery = Recovery(
            journal=journal,
            sealer=sealer,
            lanes=self.lanes,
            outbox=self.outbox,
            hand_over=self.clerk.hand_over,
            deadline_seconds=ground.limits.deadline_seconds,
            poison_attempts=ground.poison_attempts,
            report=report,
            now=now,
        )

    def traits_of(self, channel: str) -> Traits:
        """Return what a channel can do; the cautious default for one that is not configured any more."""
        known = self.channels.get(channel)
        return Traits() if known is None else known.traits

    def cut_of(self, channel: str) -> Cut | None:
        """Return how a channel cuts replies itself, where its limits depend on the conversation."""
        cut: Cut | None = getattr(self.channels.get(channel), "cut", None)
        return cut

    def inlet(self, channel: Channel, connected: Callable[[str, str, str], None]) -> ChannelInlet:
        """Make the door as one channel sees it."""
        return ChannelInlet(
            self.door,
            channel.name,
            channel.traits,
            read_cursor=self._cursor,
            connected=connected,
            wake=self.outbox.wake,
        )

    async def recall(self) -> None:
        """Read the known digests into the filter; until it is done every message is committed before its walk."""
        after = b""
        try:
            while page := await self.ground.journal.digests(after=after, limit=DIGESTS_A_PAGE):
                self.seen.add_all(page)
                after = page[-1]
        except Exception as error:  # the disk: two commits a message instead of one, until the next start
            self.ground.report(JournalFailed(f"the known messages cannot be read back: {error}"))
        else:
            self.seen.ready = True

    async def _cursor(self, channel: str, name: str) -> str:
        sealed = await self.ground.journal.cursor(channel, name)
        if not sealed:
            return ""
        return self.ground.sealer.open_bytes(RecordKind.CURSOR, f"{channel}/{name}", sealed).decode()


@asynccontextmanager
async def open_flow(ground: Ground, channels: Mapping[str, Channel], stages: Stages) -> AsyncIterator[Flow]:
    """Open a flow over a journal. `channels` may change while it runs; attach each to the outbox to be served."""
    async with trio.open_nursery() as nursery:
        flow = Flow(nursery, ground, channels, stages)
        # The first stages, and the rules they decide by, must not live as long as the flow.
        del stages
        nursery.start_soon(flow.timers.run)  # noqa: ASYNC113
        nursery.start_soon(flow.recovery.watch_delays)
        nursery.start_soon(flow.recall)
        yield flow
        nursery.cancel_scope.cancel()
