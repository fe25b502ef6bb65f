"""Take up again what a stop left unfinished, and what was set aside and comes back.

At start every unfinished message is fed to its lane in the order in which it was accepted, before
the door opens, so that nothing new overtakes it. Its deadline starts anew and its attempt is
counted by the journal when it may have been in flight.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

import trio
from msgspec.structs import replace

from gateway.errors import SealError
from gateway.flow.lanes import Lanes
from gateway.flow.outbox import Outbox
from gateway.flow.settle import Settler
from gateway.flow.story import Story
from gateway.flow.walk import Ending
from gateway.message.envelope import Delivery, Envelope
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.receipt import Unknown
from gateway.message.seal import RecordKind, Sealer
from gateway.notices import EnvelopeBuried, JournalFailed, JournalRecovered, Report
from gateway.ports import DeliveryRow, InboundRow, Journal, Moved, Outcome, Revive, Traits


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
        settler: Settler,
        hand_over: HandOverTo,
        traits_of: Callable[[str], Traits],
        deadline_seconds: float,
        poison_attempts: int,
        report: Report,
        now: Callable[[], float],
    ) -> None:
        self._journal, self._sealer, self._lanes, self._outbox = journal, sealer, lanes, outbox
        self._settler, self._hand_over, self._traits_of = settler, hand_over, traits_of
        self._deadline_seconds, self._poison_attempts = deadline_seconds, poison_attempts
        self._report, self._now = report, now
        self._delayed: list[tuple[float, str]] = []
        self._changed = trio.Event()

    async def at_start(self) -> None:
        """Feed everything unfinished, oldest first; returns when all of it is queued."""
        began, inbound, deliveries = trio.current_time(), 0, 0
        async for page in self._journal.recover():
            for row in page.deliveries:  # first: replies of earlier messages go before those of later ones
                self._take_up_delivery(row)
            for message in page.inbound:
                self._take_up(message)
            inbound, deliveries = inbound + len(page.inbound), deliveries + len(page.deliveries)
            await trio.lowlevel.checkpoint()
        self._report(JournalRecovered(inbound, deliveries, trio.current_time() - began))

    def delay(self, envelope: Envelope, due_at: float) -> None:
        """Bring a message back when its delay is over."""
        self._delay(envelope.id, due_at)

    async def watch_delays(self) -> None:
        """Bring delayed messages back when they are due; runs for ever."""
        while True:
            self._changed = trio.Event()
            wait = self._delayed[0][0] - self._now() if self._delayed else 3600.0
            with trio.move_on_after(max(wait, 0.0)):
                await self._changed.wait()
            while self._delayed and self._delayed[0][0] <= self._now():
                _, envelope_id = heapq.heappop(self._delayed)
                await self.readmit(envelope_id, "its delay is over")

    async def readmit(self, envelope_id: str, why: str) -> bool:
        """Put a held, delayed, unrouted or dead message at the tail of its lane; False when it is none of these."""
        row = await self._journal.message(envelope_id)
        if row is None or not await self._revive(envelope_id, InboundState.ACCEPTED, why):
            return False
        envelope = self._open(row)
        if envelope is not None:
            self._lanes.feed(replace(envelope, passed=True, attempt=1))
        return True

    async def resend(self, delivery_id: str, why: str) -> bool:
        """Put a dead or parked delivery at the tail of its destination, marked as replayed."""
        row = await self._journal.delivery(delivery_id)
        if row is None or not await self._revive(delivery_id, DeliveryState.PENDING, why):
            return False
        delivery = self._sealer.open(RecordKind.DELIVERY, row.id, row.sealed, Delivery)
        now = self._now()
        span = max(row.expires_at - row.created_at, 60.0)
        self._outbox.add(replace(delivery, expires_at=now + span, attempt=1, replayed=True, repeated=row.attempt > 0))
        return True

    async def discard(self, record_id: str, to: InboundState | DeliveryState, why: str) -> bool:
        """Drop a message or a delivery for good."""
        if isinstance(to, DeliveryState):
            self._outbox.forget(record_id)
        return await self._revive(record_id, to, why)

    async def _revive(self, record_id: str, to: InboundState | DeliveryState, why: str) -> bool:
        outcomes: list[Outcome] = []
        committed = trio.Event()

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            committed.set()

        note = self._sealer.seal(RecordKind.NOTE, record_id, Story(by="operator", why=why))
        self._journal.submit(Revive(id=record_id, to=to, at=self._now(), note=note), done)
        await committed.wait()
        return isinstance(outcomes[0], Moved)

    def _take_up(self, row: InboundRow) -> None:
        if row.state is InboundState.DELAYED:
            self._delay(row.id, row.due_at)
        elif row.state is InboundState.ACCEPTED:
            envelope = self._open(row)
            if envelope is None:
                return
            if row.attempt > self._poison_attempts:
                why = f"in flight at {row.attempt - 1} crashes"
                self._report(EnvelopeBuried(row.id, row.channel, why))
                ending = Ending(InboundState.DEAD, why=why, by="recovery")
                self._hand_over(envelope, ending, lambda: None)
            else:
                self._lanes.feed(envelope)

    def _take_up_delivery(self, row: DeliveryRow) -> None:
        try:
            delivery = self._sealer.open(RecordKind.DELIVERY, row.id, row.sealed, Delivery)
        except SealError as error:
            self._report(JournalFailed(f"delivery {row.id} does not open: {error}"))
            return
        idempotent = self._traits_of(row.channel).idempotent
        if row.state in (DeliveryState.SENDING, DeliveryState.STREAMING) and not idempotent:
            self._settler.parked(delivery, Unknown("the gateway stopped while it was being sent"), row.changed_at)
            return
        maybe_sent = idempotent or row.state in (DeliveryState.SENDING, DeliveryState.STREAMING)
        attempt = row.attempt + 1 if row.state is not DeliveryState.PENDING else 1
        self._outbox.resume_at(replace(delivery, attempt=attempt, repeated=maybe_sent), row.due_at)

    def _open(self, row: InboundRow) -> Envelope | None:
        try:
            envelope = self._sealer.open(RecordKind.ENVELOPE, row.id, row.sealed, Envelope)
        except SealError as error:
            self._report(JournalFailed(f"message {row.id} does not open: {error}"))
            return None
        deadline = self._now() + self._deadline_seconds
        return replace(envelope, attempt=row.attempt, deadline=deadline, passed=bool(row.note))

    def _delay(self, envelope_id: str, due_at: float) -> None:
        heapq.heappush(self._delayed, (due_at, envelope_id))
        self._changed.set()
