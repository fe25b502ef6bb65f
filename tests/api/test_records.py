"""What the journal keeps reads back as one story: of a message, its replies, and what gave up."""

from __future__ import annotations

import os

import pytest
import trio

from gateway.api.errors import NotThere
from gateway.api.gauges import standard_gauges
from gateway.api.health import Vitals
from gateway.api.records import Records
from gateway.flow.story import Attempt, HookNote, StepNote, Story
from gateway.journal import Memory, open_memory_journal
from gateway.message.dictionary import Dictionaries
from gateway.message.envelope import Delivery, Envelope
from gateway.message.keyring import new_keyring
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.message.message import Conversation, Message, Sender
from gateway.message.receipt import Bounced, Deferred, Unknown
from gateway.message.seal import RecordKind, Sealer
from gateway.ports import Accept, DeliveryRecord, HandOver, InboundRecord, Revive, Settle
from gateway.supervise import ChildState
from gateway.telemetry import Book, open_log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.stall import LoopLag


class Shop:
    """Writes records as the flow does."""

    def __init__(self, journal):
        self.journal = journal
        self.sealer = Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom)
        self.records = Records(journal, self.sealer)

    async def commit(self, work):
        done = trio.Event()
        self.journal.submit(work, lambda outcome: done.set())
        await done.wait()

    async def accept(self, id, content="Where is\nmy parcel?"):
        message = Message(
            channel="shop", platform="webhook", content=content, sender=Sender("u1", "Ada"),
            conversation=Conversation("c1", thread="t1"),
        )  # fmt: skip
        envelope = Envelope(id=id, message=message, received_at=100.0, deadline=100.2, trace="00-ab-cd-01")
        sealed = self.sealer.seal(RecordKind.ENVELOPE, id, envelope)
        record = InboundRecord(
            id=id, channel="shop", dedupe=id.encode(), dedupe_until=1e9, lane=b"l", sender=b"s", received_at=100.0,
            sealed=sealed,
        )  # fmt: skip
        await self.commit(Accept((record,)))

    async def end(self, id, state, story, replies=()):
        note = self.sealer.seal(RecordKind.NOTE, id, story)
        records = tuple(self.reply(id, index, text) for index, text in enumerate(replies))
        await self.commit(HandOver(id=id, state=state, at=100.05, note=note, deliveries=records))

    def reply(self, id, index, text):
        name = f"{id}.{index}"
        message = Message(channel="shop", content=text, conversation=Conversation("c1"))
        delivery = Delivery(id=name, envelope_id=id, message=message, created_at=100.05, expires_at=900.0)
        return DeliveryRecord(
            id=name, envelope_id=id, channel="shop", destination=b"d", created_at=100.05, expires_at=900.0,
            sealed=self.sealer.seal(RecordKind.DELIVERY, name, delivery),
        )  # fmt: skip

    async def settle(self, name, state, receipt, attempt=1):
        note = b""
        if receipt is not None:
            story = Attempt(at=101.0 + attempt, number=attempt, receipt=receipt, seconds=0.02)
            note = self.sealer.seal(RecordKind.NOTE, name, story)
        await self.commit(Settle(id=name, state=state, at=101.1 + attempt, attempt=attempt, note=note))


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
    trace = await shop.records.trace("e1")
    assert (trace.sender, trace.conversation, trace.state) == ("Ada", "c1 / t1", "done")
    assert trace.traceparent == "00-ab-cd-01" and trace.gateway_seconds == pytest.approx(0.015)
    assert [(step.stage, step.by, step.outcome) for step in trace.steps] == [
        ("accept", "", "committed"),
        ("hook", "max_length", "pass"),
        ("rule", "refunds.rules:3", "matched"),
        ("route", "", "faq"),
        ("step", "answer (echo)", "answered"),
        ("settle", "", "done"),
    ]
    assert [step.at for step in trace.steps] == sorted(step.at for step in trace.steps)
    first, second = trace.deliveries
    assert [(step.stage, step.outcome, step.why) for step in first.steps] == [
        ("reply", "committed", ""),
        ("attempt", "deferred", "503 from the shop"),
        ("attempt", "bounced", "410 gone"),
    ]
    assert (second.content, second.steps[-1].outcome) == ("Anything else?", "delivered")
    assert await shop.records.trace("e1.1") == trace


async def test_a_message_still_on_its_walk_can_be_traced(shop):
    await shop.accept("e1")
    trace = await shop.records.trace("e1")
    assert (trace.state, trace.gateway_seconds, len(trace.steps)) == ("accepted", 0.0, 1)


async def test_an_unknown_id_is_not_there(shop):
    for question in (shop.records.trace, shop.records.dead_letter):
        with pytest.raises(NotThere, match="has the id e9"):
            await question("e9")


async def test_dead_messages_and_deliveries_are_listed_with_their_reasons(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DEAD, Story(by="recovery", why="in flight at 3 crashes"))
    await shop.accept("e2")
    await shop.end("e2", InboundState.DONE, WALK, ["one " * 40, "two", "three"])
    await shop.settle("e2.0", DeliveryState.DEAD, Bounced("410 gone"))
    await shop.settle("e2.1", DeliveryState.UNKNOWN, Unknown("the connection broke"))
    letters = await shop.records.dead(None, limit=50)
    assert [(letter.id, letter.state, letter.why) for letter in letters] == [
        ("e1", "dead", "in flight at 3 crashes"),
        ("e2.0", "dead", "410 gone"),
        ("e2.1", "unknown", "the connection broke"),
    ]
    assert letters[0].preview == "Where is my parcel?" and len(letters[1].preview) == 60
    assert [letter.id for letter in await shop.records.dead("inbound", limit=50)] == ["e1"]
    assert [letter.id for letter in await shop.records.dead("delivery", limit=1)] == ["e2.0"]
    shown = await shop.records.dead_letter("e2.0")
    assert shown.letter == letters[1] and shown.trace.id == "e2"
    with pytest.raises(NotThere):
        await shop.records.dead_letter("e2.2")


async def test_a_persons_decision_is_part_of_the_trace(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DONE, WALK, ["hello"])
    await shop.settle("e1.0", DeliveryState.DEAD, Bounced("410 gone"))
    note = shop.sealer.seal(RecordKind.NOTE, "e1.0", Story(by="operator", why="retried by hand"))
    await shop.commit(Revive(id="e1.0", to=DeliveryState.PENDING, at=110.0, note=note))
    [delivery] = (await shop.records.trace("e1")).deliveries
    assert (delivery.steps[-1].stage, delivery.steps[-1].by) == ("person", "operator")


async def test_held_and_delayed_messages_are_listed_with_who_holds_them(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.HELD, Story(by="review.rules:1", why="needs a look"))
    [held] = await shop.records.held(limit=50)
    assert (held.id, held.state, held.by, held.why, held.sender) == (
        "e1",
        "held",
        "review.rules:1",
        "needs a look",
        "Ada",
    )


async def test_a_record_that_does_not_open_is_listed_all_the_same(shop):
    await shop.accept("e1")
    await shop.end("e1", InboundState.DEAD, Story(why="poison"))
    blind = Records(shop.journal, Sealer(new_keyring(0, os.urandom), Dictionaries(), os.urandom))
    [letter] = await blind.dead(None, limit=50)
    assert letter.id == "e1" and "key of the key ring" in letter.why
    assert (await blind.dead_letter("e1")).trace.content == ""


async def test_the_standard_gauges_are_scraped():
    child = ChildState(name="irc", state="waiting", since=0.0)
    vitals = Vitals(
        state="ready", journal_alive=True, journal_failing="disk full", journal_backlog=7, loop_lag_seconds=0.0,
        children=(child,),
    )  # fmt: skip
    with open_log(open(os.devnull, "w"), "json") as log:
        gauges = standard_gauges(lambda: vitals, lambda: {"lanes": 3}, LoopLag(), log)
        _, text = await Metrics(Book(), gauges).scrape()
    assert b'oclaw_child_state{child="irc",state="waiting"} 1.0' in text
    assert b'oclaw_queue_depth{queue="lanes"} 3.0' in text
    assert b"oclaw_journal_failing 1.0" in text and b"oclaw_journal_backlog 7.0" in text
