"""The door: take messages, seal and journal them, and only then say so.

`offer` never waits; what it took is acknowledged by the callback of the commit, which also feeds
the lanes, in commit order (feeding them from the caller's task would break the order within a
conversation). A message that is surely new and first in its conversation is walked before that
commit, and when nothing in its walk waits, its acceptance and its end are one work of the journal.
What comes in while the gateway cannot keep its deadline is refused here and nowhere later: what was
accepted is never shed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import trio
from msgspec import Struct

from gateway.flow.admission import FEW, Pressure
from gateway.flow.lane import Led
from gateway.flow.opening import Opening
from gateway.flow.seen import Seen
from gateway.message.envelope import Delivery, Envelope, uuid7
from gateway.message.message import Conversation, Message
from gateway.message.seal import RecordKind, Sealer
from gateway.notices import EnvelopeAccepted, EnvelopeDuplicate, EnvelopeRefused, Report
from gateway.ports import Acceptance, Accepted, Cursor, Duplicate, Journal, Refused, Traits
from gateway.records import Accept, Failed, HandOver, InboundRecord, Known, Moved, Outcome, Stored
from protocols.transport.steps import InStep, at_once

# Of the deadline; the rest is for what waits unread before the door, and for sending the reply.
SHARE = 0.4
# In hand: never crowded below half of what is always taken.
_HARDLY_ANY = FEW // 2

_ENVELOPE = RecordKind.ENVELOPE  # looked up by name: a class's member takes ten times as long
_MOVED = Moved()
_NOT_STORED = Failed("the message itself was not stored")

Then = Callable[[Sequence[Acceptance]], None]


class Limits(Struct, frozen=True, kw_only=True):
    """How much is let in, and kept in memory: about 4 KB a message that waits for its turn, 2 KB a reply.

    Replies beyond `most_replies_in_memory` wait in the journal alone.
    """

    deadline_seconds: float = 0.2
    most_waiting: int = 20_000
    most_in_lane: int = 1_000
    most_replies_in_memory: int = 50_000


class Feed(Protocol):
    """Where accepted messages go next; the lanes."""

    def lead(self, envelope: Envelope, opening: Opening) -> Led | None: ...

    def expect(self, message: Message) -> None: ...

    def feed(self, envelope: Envelope, *, expected: bool = False) -> None: ...

    def forget(self, message: Message) -> None: ...

    def depth(self, message: Message) -> int: ...

    @property
    def in_hand(self) -> int: ...

    @property
    def total(self) -> int: ...


class Door:
    """Admission for all channels together. One instance a gateway; lives in the loop's thread."""

    def __init__(
        self,
        *,
        journal: Journal,
        sealer: Sealer,
        lanes: Feed,
        seen: Seen,
        limits: Limits,
        report: Report,
        now: Callable[[], float],
        random: Callable[[int], bytes],
        in_step: InStep = at_once,
    ) -> None:
        self._journal, self._sealer, self._lanes = journal, sealer, lanes
        self._in_step = in_step
        self._pressure, self._limits, self._report = Pressure(), limits, report
        self._now, self._random, self._seen = now, random, seen
        self._moment = trio.lowlevel.current_clock().current_time  # what `trio.current_time` asks behind two more calls
        self._uncommitted = 0
        # After a crash every message is committed before it is walked: one that kills the process must be
        # found in the journal, its attempt counted, and not come in anew from its platform for ever.
        self.cautious = False
        self._closed_because = ""
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def in_hand(self) -> int:
        """Messages between the door and the end of their walk that wait for us (not for a model or a person)."""
        return self._uncommitted + self._lanes.in_hand

    def close(self, why: str) -> None:
        """Refuse everything from now on; what was taken goes its way (Drain)."""
        self._closed_because = why
        self._waiting.unpark_all()

    def is_crowded(self) -> bool:
        """Tell whether what is in hand already takes so long that a newcomer would be late."""
        in_hand, pressure = self._uncommitted + self._lanes.in_hand, self._pressure
        if in_hand < _HARDLY_ANY:
            if not pressure.resting:
                pressure.rest()
            return False
        now = trio.current_time()
        # A message waits for the commit under way and for its own, whatever else is in hand.
        waits_for_disk = 2 * self._journal.sync_seconds
        pressure.stalled(self._journal.stuck_seconds - waits_for_disk, now)
        pressure.observe(in_hand, now)
        return pressure.is_full(in_hand, self._limits.deadline_seconds * SHARE + waits_for_disk, now)

    def full(self) -> Refused | None:
        """Say why no message at all can be taken now, or None."""
        if self._closed_because:
            return Refused(self._closed_because, retry_after=5.0)
        if self._journal.failing:
            return Refused("journal", retry_after=5.0)
        if self.is_crowded():
            return self._overloaded()
        if self._lanes.total >= self._limits.most_waiting:
            return Refused("full", retry_after=5.0)
        return None

    def refusal(self, messages: Sequence[Message]) -> Refused | None:
        """Say why these messages cannot be taken now, or None."""
        if (refused := self.full()) is not None:
            return refused
        most = self._limits.most_in_lane
        # No lane holds more than all of them together.
        if messages and self._lanes.total >= most and self._lanes.depth(messages[0]) >= most:
            return Refused("conversation_full", retry_after=5.0)
        return None

    def offer(
        self, channel: str, traits: Traits, messages: Sequence[Message], then: Then, cursor: Cursor | None = None
    ) -> None:
        """Take messages of one channel; all of them commit together, or none is taken."""
        refused = self.refusal(messages)
        if refused is not None:
            self._refuse(channel, then, len(messages), refused)
            return
        now = self._now()
        sealed_cursor = self._sealed_cursor(channel, cursor) if cursor is not None else None
        coming = _Coming(channel, then, sealed_cursor, self._moment())
        for message in messages:
            envelope = Envelope(
                id=uuid7(now, self._random(10)),
                message=message,
                received_at=now,
                deadline=now + self._limits.deadline_seconds,
            )
            coming.drafts.append(self._draft(envelope, traits))
        self._in_step(partial(self._enter, coming))

    def _enter(self, coming: _Coming) -> None:
        """Begin the walk of a message that may be walked before its commit; of any other keep the place, and submit it.

        What comes of either is submitted a step later: in the order in which they came by here. Whoever came along and
        was before them may have taken so long that they would be late.
        """
        if self._moment() - coming.since > self._limits.deadline_seconds * SHARE:
            self._refuse(coming.channel, coming.then, len(coming.drafts), self._overloaded())
            return
        self._pressure.arrived += len(coming.drafts)
        surely_new = True
        for draft in coming.drafts:
            surely_new &= self._seen.is_new(draft.dedupe)
        if surely_new and len(coming.drafts) == 1 and not self.cautious:
            draft = coming.drafts[0]
            coming.led = self._lanes.lead(draft.envelope, Opening(draft.plain, partial(self._submit_walked, coming)))
            if coming.led is not None and coming.led.next is None:
                return
        if coming.led is None:
            self._uncommitted += len(coming.drafts)
            for draft in coming.drafts:
                self._lanes.expect(draft.envelope.message)
        self._in_step(partial(self._submit, coming))

    def _overloaded(self) -> Refused:
        return Refused("overloaded", self._pressure.retry_after(self.in_hand))

    def _refuse(self, channel: str, then: Then, count: int, refused: Refused) -> None:
        self._report(EnvelopeRefused(channel, refused.why))
        then((refused,) * max(1, count))

    async def wait_for_room(self) -> None:
        """Return when a message would not be refused because the gateway is full. Closing the door ends the wait, too.

        Nobody waits for a conversation that is full: one that waits reads on for no other either.
        """
        while (refused := self.full()) is not None and not self._closed_because:
            with trio.move_on_after(min(refused.retry_after, 0.1)):
                await self._waiting.park()

    def _draft(self, envelope: Envelope, traits: Traits) -> _Draft:
        message, sealer = envelope.message, self._sealer
        channel, conversation = message.channel, message.conversation
        return _Draft(
            envelope,
            sealer.encode(_ENVELOPE, envelope.id, envelope),
            sealer.digest("dedupe", channel, message.dedupe_key) if message.dedupe_key else b"",
            traits.dedupe_seconds,
            sealer.lasting_digest("lane", channel, conversation.id, conversation.thread),
            sealer.lasting_digest("sender", channel, message.sender.id),
        )

    def _submit(self, coming: _Coming) -> None:
        """Submit messages whose walks begin, or go on, after the commit."""
        seal = self._sealer.seal_bytes
        records = [draft.record(seal(_ENVELOPE, draft.envelope.id, draft.plain)) for draft in coming.drafts]
        self._journal.submit(Accept(tuple(records), coming.cursor), partial(self._committed, coming))

    def _submit_walked(self, coming: _Coming, sealed: bytes, end: HandOver, then: Callable[[Outcome], None]) -> None:
        """Submit a message together with the end of its walk."""
        record = coming.drafts[0].record(sealed)
        self._journal.submit(Accept((record,), coming.cursor, end), partial(self._walked, coming, then))

    def _sealed_cursor(self, channel: str, cursor: Cursor) -> tuple[str, str, bytes]:
        place = f"{channel}/{cursor.name}"
        return channel, cursor.name, self._sealer.seal_bytes(RecordKind.CURSOR, place, cursor.value.encode())

    def _walked(self, coming: _Coming, then: Callable[[Outcome], None], outcome: Outcome) -> None:
        stored = type(outcome) is tuple and type(outcome[0]) is Stored
        try:
            self._committed(coming, outcome)
        finally:  # as for a message that is walked only now
            then(_MOVED if stored else _NOT_STORED)

    def _committed(self, coming: _Coming, outcome: Outcome) -> None:
        if coming.led is None:
            self._uncommitted -= len(coming.drafts)
        match outcome:
            case Failed(why):
                self._report(EnvelopeRefused(coming.channel, "journal", why))
                for draft in coming.drafts:
                    self._dismiss(coming, draft.envelope)
                coming.then((Refused("journal", retry_after=5.0),) * max(1, len(coming.drafts)))
            case tuple():
                self._acknowledge(coming, outcome)
            case _:
                raise AssertionError(f"the journal answered an Accept with {outcome!r}")

    def _acknowledge(self, coming: _Coming, outcome: tuple[Stored | Known, ...]) -> None:
        fresh: list[Envelope] = []
        answers: list[Acceptance] = []
        for draft, stored in zip(coming.drafts, outcome, strict=True):
            envelope = draft.envelope
            if isinstance(stored, Known):
                answers.append(Duplicate(stored.id))
                self._dismiss(coming, envelope)
                self._report(EnvelopeDuplicate(stored.id, coming.channel))
            else:
                answers.append(Accepted(envelope.id))
                fresh.append(envelope)
                self._report(EnvelopeAccepted(envelope.id, coming.channel, envelope.message.conversation.id))
        try:
            coming.then(answers)
        finally:  # a client that is gone must not keep its message from its lane
            for envelope in fresh:
                if coming.led is None:
                    self._lanes.feed(envelope, expected=True)
                else:
                    coming.led.go_on()
            if self._waiting:
                self._waiting.unpark_all()

    def _dismiss(self, coming: _Coming, envelope: Envelope) -> None:
        if coming.led is None:
            self._lanes.forget(envelope.message)
        else:
            coming.led.give_up()


class _Draft(Struct, frozen=True):
    """A message on its way into the journal: encoded, not sealed yet."""

    envelope: Envelope
    plain: bytes
    dedupe: bytes
    dedupe_seconds: float
    lane: bytes
    sender: bytes

    def record(self, sealed: bytes) -> InboundRecord:
        """Make the journal's record of it."""
        envelope = self.envelope
        return InboundRecord(
            id=envelope.id,
            channel=envelope.message.channel,
            dedupe=self.dedupe,
            dedupe_seconds=self.dedupe_seconds,
            lane=self.lane,
            sender=self.sender,
            received_at=envelope.received_at,
            sealed=sealed,
        )


class _Coming:
    """Messages whose accepting commit is under way. `led`: the walk of the only one began before it.

    `since`: when they came, on Trio's clock.
    """

    __slots__ = ("channel", "cursor", "drafts", "led", "since", "then")

    def __init__(self, channel: str, then: Then, cursor: tuple[str, str, bytes] | None, since: float) -> None:
        self.channel, self.then, self.cursor, self.since = channel, then, cursor, since
        self.drafts: list[_Draft] = []
        self.led: Led | None = None


class ChannelInlet:
    """The door as one channel sees it (`ports.Inlet`)."""

    def __init__(
        self,
        door: Door,
        channel: str,
        traits: Traits,
        *,
        read_cursor: Callable[[str, str], Awaitable[str]],
        connected: Callable[[str, str, str], None],
        wake: Callable[[str, Conversation | None, Callable[[Delivery], bool] | None], None],
    ) -> None:
        self._door, self._channel, self._traits = door, channel, traits
        self._read_cursor, self._connected, self._wake = read_cursor, connected, wake

    def offer(self, messages: Sequence[Message], then: Then, cursor: Cursor | None = None) -> None:
        """Take messages without waiting; `then` runs after the commit, or at once with a refusal."""
        self._door.offer(self._channel, self._traits, messages, then, cursor)

    async def accept(self, messages: Sequence[Message], cursor: Cursor | None = None) -> Sequence[Acceptance]:
        """Take messages and return after the commit; waits while the gateway is full. Commits survive cancelling."""
        await self._door.wait_for_room()
        answers: list[Sequence[Acceptance]] = []
        committed = trio.Event()

        def then(acceptances: Sequence[Acceptance]) -> None:
            answers.append(acceptances)
            committed.set()

        self.offer(messages, then, cursor)
        await committed.wait()
        return answers[0]

    async def cursor(self, name: str) -> str:
        """Return the last committed cursor of that name, or ''."""
        return await self._read_cursor(self._channel, name)

    def connected(self, state: str, why: str = "") -> None:
        """Tell `status` how the connection stands."""
        self._connected(self._channel, state, why)

    def wake(self, conversation: Conversation | None = None, only: Callable[[Delivery], bool] | None = None) -> None:
        """Try deferred deliveries now."""
        self._wake(self._channel, conversation, only)
