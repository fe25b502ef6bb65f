"""End a walk in one transaction: the message's next state and the intents of all its replies.

A message that was walked before it was committed is submitted here together with its end, in one sealed record with
the story and a single reply while that is short. Long replies are cut to the channel's limit here, so that every piece
is a delivery of its own with an id that a re-run makes again. What was committed goes to the outbox in the commit's
callback.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Protocol

from msgspec.structs import replace

from gateway.flow.opening import Opening
from gateway.flow.retry import RetryPolicy
from gateway.flow.story import Story
from gateway.flow.walk import Ending
from gateway.message.chunking import chunk
from gateway.message.envelope import Delivery, Envelope, Release, delivery_id
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Message
from gateway.message.seal import RecordKind, Sealer
from gateway.notices import EnvelopeBuried, EnvelopeSettled, JournalFailed, Report
from gateway.ports import Journal, Traits
from gateway.records import DeliveryRecord, HandOver, Impossible, Moved, Outcome

# What is longer together is sealed apart. Who reads back a reply reads the record of its message along, after a start
# 500 of them at once: 32 MB of these, and hundreds of megabytes were the longest messages among them.
MOST_SHARED_BYTES = 65_536

# Python looks up a class's member ten times slower than a name.
_ENVELOPE, _DELIVERY, _NOTE, _WALKED = RecordKind.ENVELOPE, RecordKind.DELIVERY, RecordKind.NOTE, RecordKind.WALKED
_PENDING, _DELAYED = DeliveryState.PENDING, InboundState.DELAYED

Cut = Callable[[Message], Sequence[str]]
"""How a channel cuts a reply itself (`ports.Cutting`)."""


class Send(Protocol):
    """Where committed deliveries go; the outbox."""

    def add(self, delivery: Delivery) -> None: ...


class Clerk:
    """Hands walks over to the journal and, once committed, to the outbox and to whoever waits for the result."""

    def __init__(
        self,
        *,
        journal: Journal,
        sealer: Sealer,
        outbox: Send,
        traits_of: Callable[[str], Traits],
        cut_of: Callable[[str], Cut | None] = lambda _: None,
        policy: RetryPolicy,
        ended: Callable[[Envelope, Ending], None],
        delay: Callable[[Envelope, float], None],
        report: Report,
        now: Callable[[], float],
    ) -> None:
        self._journal, self._sealer, self._outbox = journal, sealer, outbox
        self._traits_of, self._cut_of, self._policy = traits_of, cut_of, policy
        self._ended, self._delay, self._report, self._now = ended, delay, report, now

    def hand_over(
        self, envelope: Envelope, ending: Ending, done: Callable[[], None], opening: Opening | None = None
    ) -> None:
        """Submit the end of a walk; `done` runs when it is committed, whatever came of it.

        `opening`: the message itself is still to be submitted, and is, together with its end.
        """
        now = self._now()
        story = ending.story or _unwalked(envelope, ending)
        told = self._sealer.encode(_NOTE, envelope.id, story)
        deliveries = self.deliveries(envelope, ending, now)
        together = () if opening is None else self._together(opening.plain, told, deliveries)
        records = [self._record(delivery, DeliveryState.DELIVERED) for delivery in ending.streamed]
        for delivery in deliveries:
            records.append(self._record(delivery, _PENDING, shared=len(together) == 3))
        work = HandOver(
            id=envelope.id,
            state=ending.state,
            at=now,
            note=b"" if together else self._sealer.seal_bytes(_NOTE, envelope.id, told),
            deliveries=tuple(records),
            due_at=now + ending.delay_seconds if ending.delay_seconds else 0.0,
        )
        then = partial(self._committed, envelope, ending, deliveries, done)
        if opening is None:
            self._journal.submit(work, then)
        elif together:
            opening.close(self._sealer.seal_together(_WALKED, envelope.id, *together), work, then)
        else:
            opening.close(self._sealer.seal_bytes(_ENVELOPE, envelope.id, opening.plain), work, then)

    def _together(self, plain: bytes, told: bytes, deliveries: list[Delivery]) -> tuple[bytes, ...]:
        """Return the encoded values that share the message's record: its story, and its reply if that is the only one.

        As far as they are short; nothing when the message itself is long.
        """
        room = MOST_SHARED_BYTES - len(plain) - len(told)
        if room >= 0 and len(deliveries) == 1:
            reply = self._sealer.encode(_DELIVERY, deliveries[0].id, deliveries[0])
            if len(reply) <= room:
                return plain, told, reply
        return (plain, told) if room >= 0 else ()

    def deliveries(self, envelope: Envelope, ending: Ending, now: float) -> list[Delivery]:
        """Cut the replies into deliveries, numbered behind what was streamed already, and by earlier walks."""
        made: list[Delivery] = []
        if not ending.replies:
            return made
        first = envelope.replies_before + len(ending.streamed)
        repeated = ending.repeated or self._shown_before(envelope)
        for reply in ending.replies:
            for piece in self._pieces(reply):
                delivery = Delivery(
                    id=delivery_id(envelope.id, first + len(made)),
                    envelope_id=envelope.id,
                    message=piece,
                    created_at=now,
                    expires_at=now + self._policy.expiry_seconds,
                    repeated=repeated,
                )
                made.append(delivery)
        return made

    def _shown_before(self, envelope: Envelope) -> bool:
        """Say whether an earlier walk, that failed or that a stop cut short, may have streamed the reply already."""
        return (envelope.attempt > 1 or envelope.returned) and self._traits_of(envelope.message.channel).can_stream

    def _pieces(self, reply: Message) -> list[Message]:
        cut = self._cut_of(reply.channel)
        traits = self._traits_of(reply.channel)
        if cut is None and (not traits.text_limit or len(reply.content) * 4 <= traits.text_limit):
            return [reply]  # no unit needs more than four for one code point
        texts = cut(reply) if cut else _cut(reply.content, traits)
        first, *rest = [replace(reply, content=text) for text in texts] or [reply]
        return [first, *(replace(piece, attachments=()) for piece in rest)]

    def _record(self, delivery: Delivery, state: DeliveryState, *, shared: bool = False) -> DeliveryRecord:
        message, conversation = delivery.message, delivery.message.conversation
        return DeliveryRecord(
            id=delivery.id,
            envelope_id=delivery.envelope_id,
            channel=message.channel,
            destination=self._sealer.lasting_digest("lane", message.channel, conversation.id, conversation.thread),
            created_at=delivery.created_at,
            expires_at=delivery.expires_at,
            sealed=b"" if shared else self._sealer.seal(_DELIVERY, delivery.id, delivery),
            state=state,
        )

    def _committed(
        self, envelope: Envelope, ending: Ending, made: list[Delivery], done: Callable[[], None], outcome: Outcome
    ) -> None:
        if isinstance(outcome, Impossible):
            self._bury(envelope, outcome.why, done)
            return
        try:
            self._follow(envelope, ending, made, outcome)
        finally:
            done()

    def _bury(self, envelope: Envelope, why: str, done: Callable[[], None]) -> None:
        """End a message whose own end was refused, without its replies: else it would stay in hand to the next start.

        One that is elsewhere by now (a person dropped it) stays there.
        """
        self._report(JournalFailed(f"the end of {envelope.id} was refused: {why}"))
        ending = Ending(InboundState.DEAD, why=f"its end cannot be kept: {why}", by="journal")
        note = self._sealer.seal(_NOTE, envelope.id, _unwalked(envelope, ending))
        work = HandOver(id=envelope.id, state=ending.state, at=self._now(), note=note)
        self._journal.submit(work, partial(self._buried, envelope, ending, done))

    def _buried(self, envelope: Envelope, ending: Ending, done: Callable[[], None], outcome: Outcome) -> None:
        try:
            if isinstance(outcome, Moved):
                self._report(EnvelopeBuried(envelope.id, envelope.message.channel, ending.why))
            self._follow(envelope, ending, [], outcome)
        finally:
            done()

    def _follow(self, envelope: Envelope, ending: Ending, made: list[Delivery], outcome: Outcome) -> None:
        if not isinstance(outcome, Moved):
            self._ended(envelope, ending)  # whoever waits for it reads what the journal holds
            return
        for delivery in made:
            self._outbox.add(delivery)
        if ending.state is _DELAYED:
            self._delay(envelope, ending.delay_seconds)
        self._report(EnvelopeSettled(envelope.id, envelope.message.channel, len(made), self._share(envelope, ending)))
        self._ended(envelope, ending)

    def _share(self, envelope: Envelope, ending: Ending) -> float:
        """Return our own share: from arrival to this commit, less the steps' time and what somebody let it wait."""
        story = ending.story
        if story is None:
            return max(0.0, self._now() - envelope.received_at)
        # Set aside by a rule, a hook or its own failures, it waited for a delay or a person: the walk alone is ours.
        share = story.stages.get("end", 0.0) if story.passed else self._now() - envelope.received_at
        for step in story.steps:
            share -= step.seconds
        return max(0.0, share)


def _unwalked(envelope: Envelope, ending: Ending) -> Story:
    """Tell of an end that no walk came to: whether rules were asked nobody knows, so they are when it is put back."""
    return Story(
        attempt=envelope.attempt,
        delayed=envelope.delayed,
        anew=not (envelope.passed or envelope.delayed),
        by=ending.by,
        why=ending.why,
        tell=ending.tell,
        release=envelope.release or Release(),
    )


def _cut(text: str, traits: Traits) -> Sequence[str]:
    return chunk(text, traits.text_limit, traits.text_unit, tokens=_tokens(traits.tokens) if traits.tokens else None)


@lru_cache(maxsize=64)
def _tokens(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
