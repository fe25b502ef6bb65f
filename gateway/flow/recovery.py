"""Take up again what a stop left unfinished, and what was set aside and comes back.

At start every unfinished message is fed to its lane in the order in which it was accepted, before
the door opens, so that nothing new overtakes it. Its deadline starts anew. What may have caused a crash
(`flight.py`) has its attempt counted by the journal, and is buried after too many.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from math import inf
from typing import Protocol

import trio
from msgspec.structs import replace

from gateway.errors import SealError
from gateway.flow.lanes import Lanes
from gateway.flow.outbox import Outbox
from gateway.flow.rows import delivery_in, envelope_in, story_in
from gateway.flow.story import Story
from gateway.flow.walk import Ending
from gateway.message.envelope import Envelope
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.seal import RecordKind, Sealer
from gateway.notices import EnvelopeBuried, JournalFailed, JournalRecovered, Report
from gateway.ports import Journal
from gateway.records import InboundRow, Moved, Outcome, Revive

SET_ASIDE = (InboundState.HELD, InboundState.DELAYED, InboundState.UNROUTED, InboundState.DEAD)
_AGAIN_SECONDS = 5.0


class HandOverTo(Protocol):
    """What ends a message without a walk; the clerk's."""

    def __call__(self, envelope: Envelope, ending: Ending, done: Callable[[], None]) -> None: ...


class Recovery:
    """Feeds lanes and outbox from the journal: at start, when a delay is over, when a person says so."""

    def __init__(
        self,
        *,
        journal: Journal,
        sealer: Sealer,
        lanes: Lanes,
        outbox: Outbox,
        hand_over: HandOverTo,
        deadline_seconds: float,
        poison_attempts: int,
        report: Report,
        now: Callable[[], float],
    ) -> None:
        self._journal, self._sealer, self._lanes, self._outbox = journal, sealer, lanes, outbox
        self._hand_over, self._deadline_seconds, self._poison_attempts = hand_over, deadline_seconds, poison_attempts
        self._report, self._now = report, now
        self._delayed: list[tuple[float, str]] = []
        self._changed = trio.Event()

    async def at_start(self, channels: Iterable[str] = (), blamed: Collection[str] = ()) -> None:
        """Feed everything unfinished, oldest first; returns when all of it is queued.

        `blamed`: the messages of which one may have ended the last life; empty after an orderly stop.
        """
        began, inbound, deliveries = trio.current_time(), 0, 0
        seen = set[bytes]()
        await self._outbox.disabled.load(channels)
        async for page in self._journal.recover(blamed):
            for row in page.deliveries:  # first: replies of earlier messages go before those of later ones
                self._outbox.restore(row)
            with self._lanes.gathering():  # an edit must find the message it is about still waiting
                for message in page.inbound:
                    await self._take_up(message, seen)
            inbound, deliveries = inbound + len(page.inbound), deliveries + len(page.deliveries)
            await trio.lowlevel.checkpoint()
        self._outbox.restored()
        self._report(JournalRecovered(inbound, deliveries, trio.current_time() - began))

    def delay(self, envelope: Envelope, seconds: float) -> None:
        """Bring a message back when its delay is over."""
        self._delay(envelope.id, seconds)

    async def watch_delays(self) -> None:
        """Bring delayed messages back when they are due; runs for ever."""
        while True:
            self._changed = trio.Event()
            with trio.move_on_at(self._delayed[0][0] if self._delayed else inf):
                await self._changed.wait()
            while self._delayed and self._delayed[0][0] <= trio.current_time():
                await self._over(heapq.heappop(self._delayed)[1])

    async def readmit(self, envelope_id: str, why: str) -> bool:
        """Put a held, delayed, unrouted or dead message at the tail of its lane for a person; False when it is none."""
        return await self._put_back(envelope_id, why, SET_ASIDE, delayed=False)

    async def _put_back(self, envelope_id: str, why: str, only: Collection[InboundState], *, delayed: bool) -> bool:
        row = await self._journal.message(envelope_id)
        if row is None or row.state not in only:
            return False
        envelope = await self._open(row)
        if envelope is None:  # its key is gone; it stays where a person finds it
            return False
        if delayed:
            envelope = replace(envelope, passed=False, delayed=True)

        def moved() -> None:
            self._lanes.feed(replace(envelope, returned=True, attempt=1))

        work = Revive(id=envelope_id, to=InboundState.ACCEPTED, at=self._now())
        anew = not (envelope.passed or envelope.delayed)
        story = Story(by="operator", why=why, at=work.at, delayed=envelope.delayed, anew=anew, release=envelope.release)
        return await self._revive(work, story, moved)

    async def resend(self, delivery_id: str, why: str) -> bool:
        """Put a dead or parked delivery at the tail of its destination, marked as replayed."""
        row = await self._journal.delivery(delivery_id)
        if row is None:
            return False
        delivery = delivery_in(self._sealer, row)
        now = self._now()
        expires_at = now + max(row.expires_at - row.created_at, 60.0)
        again = replace(delivery, expires_at=expires_at, attempt=1, replayed=True, repeated=row.attempt > 0)
        work = Revive(id=delivery_id, to=DeliveryState.PENDING, at=now, expires_at=expires_at)
        return await self._revive(work, Story(by="operator", why=why, at=work.at), lambda: self._outbox.add(again))

    async def discard(self, record_id: str, to: InboundState | DeliveryState, why: str) -> bool:
        """Drop a message or a delivery for good."""

        def moved() -> None:
            if isinstance(to, DeliveryState):
                self._outbox.forget(record_id)

        work = Revive(id=record_id, to=to, at=self._now())
        story = Story() if isinstance(to, DeliveryState) else await self._walked(record_id)
        return await self._revive(work, replace(story, by="operator", why=why, at=work.at), moved)

    async def _walked(self, envelope_id: str) -> Story:
        """Return the story of a message's walk, as far as it is still told once a person has dropped the message."""
        row = await self._journal.message(envelope_id)
        try:
            story = story_in(self._sealer, row) if row is not None else None
        except SealError:  # its key is gone
            story = None
        if row is None or story is None:
            return Story()
        return replace(story, walked_at=row.changed_at, tell="", release=None)

    async def _revive(self, work: Revive, story: Story, moved: Callable[[], None]) -> bool:
        """Commit what a person decided; `moved` runs with the commit, whether or not anybody still waits here."""
        outcomes: list[Outcome] = []
        committed = trio.Event()

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            committed.set()
            if isinstance(outcome, Moved):
                moved()

        note = self._sealer.seal(RecordKind.NOTE, work.id, story)
        self._journal.submit(replace(work, note=note), done)
        await committed.wait()
        return isinstance(outcomes[0], Moved)

    async def _over(self, envelope_id: str) -> None:
        try:
            await self._put_back(envelope_id, "its delay is over", (InboundState.DELAYED,), delayed=True)
        except Exception as error:  # the disk; the message is in the journal and comes back a little later
            self._report(JournalFailed(f"{envelope_id} cannot come back from its delay: {error}"))
            self._delay(envelope_id, _AGAIN_SECONDS)

    async def _take_up(self, row: InboundRow, seen: set[bytes]) -> None:
        """Feed one message; `seen` are the lanes that have one already."""
        if row.state is InboundState.DELAYED:
            # A clock that was set back while we were down cannot make the delay longer than it was.
            self._delay(row.id, min(row.due_at - self._now(), row.due_at - row.changed_at))
        elif row.state is InboundState.ACCEPTED and (envelope := await self._open(row)) is not None:
            first = row.lane not in seen
            seen.add(row.lane)
            if row.attempt > self._poison_attempts:
                why = f"in flight at {row.attempt - 1} crashes"
                self._report(EnvelopeBuried(row.id, row.channel, why))
                self._hand_over(envelope, Ending(InboundState.DEAD, why=why, by="recovery"), lambda: None)
            else:
                # A reply is only streamed when all before it is committed: none but the first can have been seen.
                self._lanes.feed(replace(envelope, returned=True) if first else envelope)

    async def _open(self, row: InboundRow) -> Envelope | None:
        try:
            envelope, story = envelope_in(self._sealer, row), story_in(self._sealer, row)
        except SealError as error:
            self._report(JournalFailed(f"message {row.id} does not open: {error}"))
            return None
        return replace(
            envelope,
            attempt=row.attempt,
            deadline=self._now() + self._deadline_seconds,
            passed=story is not None and not (story.delayed or story.anew),
            delayed=story is not None and story.delayed,
            returned=story is not None,
            replies_before=len(await self._journal.deliveries_of(row.id)) if story is not None else 0,
            release=story.release if story is not None else None,
        )

    def _delay(self, envelope_id: str, seconds: float) -> None:
        heapq.heappush(self._delayed, (trio.current_time() + seconds, envelope_id))
        self._changed.set()
