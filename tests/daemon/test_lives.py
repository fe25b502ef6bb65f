"""What the journal keeps reads back as one story: of a message, its replies, and what gave up."""

from __future__ import annotations

import os

import pytest
import trio
from msgspec import structs

from gateway.api.errors import NotThere
from gateway.daemon.lives import Lives
from gateway.flow.story import Attempt, HookNote, StepNote, Story
from gateway.journal import Memory, open_memory_journal
from gateway.message.dictionary import Dictionaries
from gateway.message.envelope import Delivery, Envelope, Release
from gateway.message.keyring import new_keyring
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Conversation, Message, Sender
from gateway.message.receipt import Bounced, Deferred, Unknown
from gateway.message.seal import RecordKind, Sealer
from gateway.records import Accept, DeliveryRecord, HandOver, InboundRecord, Revive, Settle


class Shop:
    """Writes records as the flow does."""

    def __init__(self, journal):
        self.journal = journal
        self.sealer = Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom)
        self.lives = Lives(journal, self.sealer)

    async def commit(self, work):
        done = trio.Event()
        self.journal.submit(work, lambda outcome: done.set())
        await done.wait()

    async def accept(self, id, content="Where is\nmy parcel?"):
        envelope = envelope_of(id, content)
        await self.commit(Accept((record_of(envelope, self.sealer.seal(RecordKind.ENVELOPE, id, envelope)),)))

    async def end(self, id, state, story, replies=(), at=100.05):
        note = self.sealer.seal(RecordKind.NOTE, id, story)
        records = tuple(self.reply(id, index, text) for index, text in enumerate(replies))
        await self.commit(HandOver(id=id, state=state, at=at, note=note, deliveries=records))

    async def walked(self, id, state, story, *replies):
        """Accept a message together with the end of its walk, and with its reply, in one record."""
        envelope = envelope_of(id)
        parts = [self.sealer.encode(RecordKind.ENVELOPE, id, envelope), self.sealer.encode(RecordKind.NOTE, id, story)]
        parts += [self.sealer.encode(RecordKind.DELIVERY, id, delivery_of(id, 0, text)) for text in replies]
        record = record_of(envelope, self.sealer.seal_together(RecordKind.WALKED, id, *parts))
        shared = tuple(structs.replace(self.reply(id, 0, text), sealed=b"") for text in replies)
        await self.commit(Accept((record,), end=HandOver(id=id, state=state, at=100.05, deliveries=shared)))

    def reply(self, id, index, text):
        delivery = delivery_of(id, index, text)
        return DeliveryRecord(
            id=delivery.id, envelope_id=id, channel="shop", destination=b"d", created_at=100.05, expires_at=900.0,
            sealed=self.sealer.seal(RecordKind.DELIVERY, delivery.id, delivery),
        )  # fmt: skip

    async def settle(self, name, state, receipt, attempt=1):
        note = b""
        if receipt is not None:
            story = Attempt(at=101.0 + attempt, number=attempt, receipt=receipt, seconds=0.02)
            note = self.sealer.seal(RecordKind.NOTE, name, story)
        await self.commit(Settle(id=name, state=state, at=101.1 + attempt, attempt=attempt, note=note))


def envelope_of(id, content="Where is\nmy parcel?"):
    message = Message(
        channel="shop", platform="webhook", content=content, sender=Sender("u1", "Ada"),
        conversation=Conversation("c1", thread="t1"),
    )  # fmt: skip
    return Envelope(id=id, message=message, received_at=100.0, deadline=100.2, trace="00-ab-cd-01")


def delivery_of(id, index, text):
    message = Message(channel="shop", content=text, conversation=Conversation("c1"))
    return Delivery(id=f"{id}.{index}", envelope_id=id, message=message, created_at=100.05, expires_at=900.0)


def record_of(envelope, sealed):
    return InboundRecord(
        id=envelope.id, channel="shop", dedupe=envelope.id.encode(), dedupe_seconds=1e9, lane=b"l", sender=b"s",
        received_at=100.0, sealed=sealed,
    )  # fmt: skip


@pytest.fixture
async def shop():
    async with open_memory_journal(Memory()) as journal:
        yield Shop(journal)


WALK = Story(
    stages={"hooks": 0.002, "route": 0.003, "pipeline": 0.04, "end": 0.045},
    hooks=(HookNote("max_length", "pass", 0.0001),),
    rules=("refunds.rules:3",),
    actions=("ROUTE faq",),
    pipeline="faq",
    steps=(StepNote("answer", "echo", 0.03),),
)


async def test_a_trace_tells_stages_decisions_attempts_and_receipts_in_order(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DONE, WALK, ["On its way", "Anything else?"])
    await shop.settle("e1.0", DeliveryState.DEFERRED, Deferred("503 from the shop"))
    await shop.settle("e1.0", DeliveryState.DEAD, Bounced("410 gone"), attempt=2)
    await shop.settle("e1.1", DeliveryState.DELIVERED, None)
    trace = await shop.lives.trace("e1")
    assert (trace.sender, trace.state, trace.traceparent) == ("Ada", "done", "00-ab-cd-01")
    assert [(step.stage, step.outcome) for step in trace.steps] == [
        ("accept", "accepted"),
        ("hook", "pass"),
        ("route", "ROUTE faq"),
        ("step", "answered"),
        ("settle", "done"),
    ]
    assert [step.by for step in trace.steps[1:4]] == ["max_length", "refunds.rules:3", "faq/answer (echo)"]
    assert [step.at for step in trace.steps] == sorted(step.at for step in trace.steps)
    first, second = trace.deliveries
    assert [(step.stage, step.outcome, step.why) for step in first.steps] == [
        ("attempt", "deferred", "503 from the shop"),
        ("attempt", "bounced", "410 gone"),
    ]
    assert (second.content, second.steps[-1].outcome) == ("Anything else?", "delivered")
    assert await shop.lives.trace("e1.1") == trace


async def test_a_hook_of_the_answer_stands_behind_the_step_that_made_it(shop):
    hooks = (*WALK.hooks, HookNote("second_look", "hold", 0.0001, "a refund", outbound=True))
    await shop.accept("e1")
    await shop.end("e1", InboundState.HELD, structs.replace(WALK, hooks=hooks))
    steps = (await shop.lives.trace("e1")).steps
    assert [step.stage for step in steps] == ["accept", "hook", "route", "step", "hook", "settle"]
    assert (steps[1].by, steps[4].by, steps[4].why) == ("max_length", "second_look", "a refund")
    assert [step.at for step in steps] == sorted(step.at for step in steps)


async def test_a_reply_that_shares_its_messages_record_is_told_like_any_other(shop):
    await shop.walked("e1", InboundState.DONE, WALK, "On its way")
    await shop.settle("e1.0", DeliveryState.DEAD, Bounced("410 gone"))
    trace = await shop.lives.trace("e1.0")
    assert [(each.id, each.content, each.steps[-1].why) for each in trace.deliveries] == [
        ("e1.0", "On its way", "410 gone")
    ]
    row = await shop.journal.delivery("e1.0")
    assert shop.lives.dead_delivery(row).preview == "On its way"


async def test_stages_stand_at_the_times_of_the_walk_that_they_are_of(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DONE, WALK, at=170.045)
    trace = await shop.lives.trace("e1")
    assert [round(step.at, 3) for step in trace.steps] == [100.0, 170.002, 170.003, 170.04, 170.045]
    assert trace.gateway_seconds == pytest.approx(70.015)


async def test_time_that_a_message_was_set_aside_is_not_the_gateways(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DONE, structs.replace(WALK, passed=True), at=170.045)
    trace = await shop.lives.trace("e1")
    assert [step.stage for step in trace.steps] == ["accept", "return", "hook", "route", "step", "settle"]
    assert (round(trace.steps[1].at, 3), round(trace.gateway_seconds, 3)) == (170.0, 0.015)


async def test_a_message_that_was_committed_with_its_end_reads_as_one_that_was_committed_before(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DEAD, WALK)
    await shop.walked("e2", InboundState.DEAD, WALK)
    one, other = await shop.lives.trace("e1"), await shop.lives.trace("e2")
    assert structs.replace(other, id="e1", what_now=other.what_now.replace("e2", "e1")) == one
    one, other = [shop.lives.dead_message(await shop.journal.message(name)) for name in ("e1", "e2")]
    assert structs.replace(other, id="e1") == one
    note = shop.sealer.seal(RecordKind.NOTE, "e2", Story(by="operator", why="dropped by hand"))
    await shop.commit(Revive(id="e2", to=InboundState.DROPPED, at=102.0, note=note))
    last = (await shop.lives.trace("e2")).steps[-1]
    assert (last.outcome, last.by, last.why) == ("dropped", "operator", "dropped by hand")


async def test_a_message_still_on_its_walk_can_be_traced(shop):
    await shop.accept("e1")
    trace = await shop.lives.trace("e1")
    assert (trace.state, trace.gateway_seconds, len(trace.steps)) == ("accepted", 0.0, 1)


async def test_an_unknown_id_is_not_there(shop):
    with pytest.raises(NotThere, match="e9"):
        await shop.lives.trace("e9")


async def test_dead_messages_and_deliveries_tell_their_reasons(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DEAD, Story(by="recovery", why="in flight at 3 crashes"))
    await shop.accept("e2")
    await shop.end("e2", InboundState.DONE, WALK, ["one " * 40, "two"])
    await shop.settle("e2.0", DeliveryState.DEAD, Bounced("410 gone"))
    await shop.settle("e2.1", DeliveryState.UNKNOWN, Unknown("the connection broke"))
    message = shop.lives.dead_message(await shop.journal.message("e1"))
    assert (message.kind, message.why, message.preview) == ("inbound", "in flight at 3 crashes", "Where is my parcel?")
    first = shop.lives.dead_delivery(await shop.journal.delivery("e2.0"))
    second = shop.lives.dead_delivery(await shop.journal.delivery("e2.1"))
    assert (first.state, first.why, second.state, second.why) == ("dead", "410 gone", "unknown", "the connection broke")
    assert len(first.preview) < 100 and first.preview.endswith("…")


async def test_a_persons_decision_is_part_of_the_trace(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DONE, WALK, ["hello"])
    await shop.settle("e1.0", DeliveryState.DEAD, Bounced("410 gone"))
    note = shop.sealer.seal(RecordKind.NOTE, "e1.0", Story(by="operator", why="retried by hand"))
    await shop.commit(Revive(id="e1.0", to=DeliveryState.PENDING, at=110.0, note=note))
    [delivery] = (await shop.lives.trace("e1")).deliveries
    assert (delivery.steps[-1].stage, delivery.steps[-1].by) == ("person", "operator")


async def test_a_held_message_tells_who_holds_it(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.HELD, Story(by="review.rules:1", why="needs a look"))
    held = shop.lives.held(await shop.journal.message("e1"))
    assert (held.state, held.by, held.why, held.sender) == ("held", "review.rules:1", "needs a look", "Ada")


async def test_a_held_answer_is_told_to_whoever_may_let_it_go_and_no_longer(shop):
    await shop.accept("e1")
    release = Release(hooks=("four_eyes",), pipeline="reply", texts=("We owe you", "a\nfortune."))
    await shop.end("e1", InboundState.HELD, Story(by="hook four_eyes", why="money", release=release))
    assert shop.lives.held(await shop.journal.message("e1")).answer == "We owe you a fortune."
    assert (await shop.lives.trace("e1")).held_answers == release.texts
    note = shop.sealer.seal(RecordKind.NOTE, "e1", Story(by="operator", why="dropped", release=release))
    await shop.commit(Revive(id="e1", to=InboundState.DROPPED, at=110.0, note=note))
    assert (await shop.lives.trace("e1")).held_answers == ()


async def test_a_record_that_does_not_open_is_told_without_its_content(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DEAD, Story(why="poison"))
    blind = Lives(shop.journal, Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom))
    letter = blind.dead_message(await shop.journal.message("e1"))
    assert (letter.id, letter.preview) == ("e1", "")
    assert "parcel" not in (await blind.trace("e1")).content
