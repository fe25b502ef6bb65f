"""The control socket over the real hub: every request reaches `Control`, and every refusal is told."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import trio

from gateway.api.control import (
    DeadLetter,
    DeadStory,
    DisabledAddress,
    Done,
    Explained,
    HeldMessage,
    JournalStatus,
    LastError,
    Loaded,
    ReloadReport,
    RuleLine,
    RulesStatus,
    SendOrder,
    Sent,
    Status,
    Trace,
    TraceStep,
)
from gateway.api.control_socket import control_routes
from gateway.api.errors import NotPossible, NotThere
from gateway.errors import Overloaded
from gateway.notices import EnvelopeAccepted
from gateway.telemetry import Book, Masks, Verbosity, Watchers, make_report

LETTER = DeadLetter(
    id="e1.0", kind="delivery", channel="shop", conversation="c", state="dead", why="410", attempt=3, created_at=1.0,
    changed_at=2.0,
)  # fmt: skip
STEP = TraceStep(at=1.0, stage="hook", outcome="pass", by="max_length", seconds=0.001)
TRACE = Trace(
    id="e1", channel="shop", platform="webhook", conversation="c", sender="s", state="done", received_at=1.0,
    changed_at=2.0, steps=(STEP,),
)  # fmt: skip


class FakeControl:
    """Remembers what it was asked."""

    def __init__(self):
        self.asked = []

    async def disabled(self):
        return [DisabledAddress(channel="shop", address="https://gone.example/")]

    async def enable(self, what):
        self.enabled = what
        return Done(what.address, "enabled")

    async def status(self):
        loaded = Loaded(path="conf", generation=1, loaded_at=0.0)
        rules = RulesStatus(files=1, rules=2, loaded=loaded)
        return Status(
            ready=True, state="ready", since=1.0, started_at=0.5, version="0.1.0", pid=1, addresses=("127.0.0.1:8420",),
            configuration=loaded, rules=rules, journal=JournalStatus(tally={"inbound.accepted": 3}),
        )  # fmt: skip

    async def send(self, order):
        self.asked.append(order)
        if order.content == "flood":
            raise Overloaded("the journal's backlog is full", 2.0)
        return Sent(id="e1", state="done", replies=("hi",))

    async def trace(self, envelope_id):
        if envelope_id != "e1":
            raise NotThere(f"No message has the id {envelope_id}.")
        return TRACE

    async def dead(self, kind, *, limit):
        self.asked.append((kind, limit))
        return [LETTER]

    async def dead_stories(self):
        for _ in range(2):
            yield DeadStory(LETTER, TRACE)

    async def dead_letter(self, letter_id):
        return DeadStory(LETTER, TRACE)

    async def retry(self, letter_id):
        return Done(letter_id, "pending")

    async def drop(self, letter_id):
        raise NotPossible(f"{letter_id} is delivered.")

    async def held(self, *, limit):
        return [HeldMessage(id="e2", channel="shop", conversation="c", sender="s", state="held", by="rule 3",
                            why="review", received_at=1.0)]  # fmt: skip

    async def release(self, envelope_id):
        return Done(envelope_id, "accepted")

    async def discard(self, envelope_id):
        return Done(envelope_id, "dropped")

    async def reload(self):
        return ReloadReport(applied=False, generation=1, problems=("rules.d/a.rules:3: unknown field",))

    async def rules(self, *, limit):
        return [RuleLine(rule="vip", ruleset="routing", place="main.rules:1", matched=limit)]

    async def explain(self, envelope_id):
        return Explained(id=envelope_id, text="routing: ran to its end")


async def opened(serve):
    control, watchers = FakeControl(), Watchers()
    return control, watchers, await serve(control_routes(control, watchers, masks=Masks(), verbosity=Verbosity()))


async def test_every_request_reaches_the_gateway_and_its_answer_reads_back(serve):
    control, _, caller = await opened(serve)
    status = await caller.ask("GET", "/status")
    assert msgspec.json.decode(status.body, type=Status) == await control.status()
    trace = await caller.ask("GET", "/trace/e1")
    assert msgspec.json.decode(trace.body, type=Trace) == TRACE
    assert (await caller.ask("GET", "/dead/e1.0")).json["trace"]["id"] == "e1"
    assert (await caller.ask("POST", "/dead/e1.0/retry")).json == {"id": "e1.0", "state": "pending"}
    assert (await caller.ask("GET", "/held")).json[0]["by"] == "rule 3"
    assert (await caller.ask("POST", "/held/e2/release")).json == {"id": "e2", "state": "accepted"}
    assert (await caller.ask("POST", "/held/e2/drop")).json == {"id": "e2", "state": "dropped"}
    assert (await caller.ask("GET", "/rules?limit=7")).json[0]["matched"] == 7
    assert (await caller.ask("GET", "/rules/explain/e1")).json["text"] == "routing: ran to its end"


async def test_a_refused_reload_tells_every_problem(serve):
    _, _, caller = await opened(serve)
    answer = await caller.ask("POST", "/reload")
    assert (answer.status, answer.json["problems"]) == (422, ["rules.d/a.rules:3: unknown field"])
    assert answer.json["detail"].startswith("The old configuration stays in force: rules.d/a.rules:3")


async def test_all_dead_letters_are_told_line_by_line(serve):
    caller = await serve(control_routes(FakeControl(), Watchers(), masks=Masks(), verbosity=Verbosity()))
    answer = await caller.ask("GET", "/dead/export")
    lines = answer.body.splitlines()
    assert [msgspec.json.decode(line)["letter"]["id"] for line in lines] == ["e1.0", "e1.0"]


async def test_the_dead_letters_can_be_filtered_and_limited(serve):
    control, _, caller = await opened(serve)
    await caller.ask("GET", "/dead")
    await caller.ask("GET", "/dead?kind=inbound&limit=7")
    assert control.asked == [(None, 50), ("inbound", 7)]
    for query in (
        "limit=0",
        "limit=x",
        "limit=99999999999999999999",
        "limit=0000000011111111",
        "limit=",
        "kind=letter",
    ):
        assert (await caller.ask("GET", f"/dead?{query}")).status == 422
    assert (await caller.ask("GET", "/dead?kind=%ff")).status == 400


async def test_a_message_is_sent(serve):
    control, _, caller = await opened(serve)
    answer = await caller.ask("POST", "/send", b'{"channel": "shop", "content": "hello", "wait_seconds": 2}')
    sent = {"id": "e1", "state": "done", "why": "", "replies": ["hi"], "what_now": "", "undelivered": []}
    assert answer.json == sent
    assert control.asked == [SendOrder(channel="shop", content="hello", wait_seconds=2.0)]


async def test_what_is_no_json_is_refused_and_no_failure(serve):
    _, _, caller = await opened(serve)
    for body in (b'{"channel": "\xff"}', b'{"\xff": 1}', b'{"channel": "\\ud800"}', b"[" * 20_000, b"\xff"):
        assert (await caller.ask("POST", "/send", body)).status in (400, 422)
        assert (await caller.ask("POST", "/disabled", body)).status in (400, 422)


async def test_half_a_surrogate_pair_costs_a_character_and_not_the_answer(serve):
    control = FakeControl()
    status = await control.status()
    troubled = msgspec.structs.replace(status, last_errors=(LastError(1.0, "ChildCrashed", "a\ud800b"),))
    refused = ReloadReport(applied=False, generation=1, problems=("a.rules: '\udcff'",))
    control.status, control.reload = (lambda: answer(troubled)), (lambda: answer(refused))
    caller = await serve(control_routes(control, Watchers(), masks=Masks(), verbosity=Verbosity()))
    assert (await caller.ask("GET", "/status")).json["last_errors"][0]["text"] == "a\ufffdb"
    assert (await caller.ask("POST", "/reload")).json["problems"] == ["a.rules: '\ufffd'"]


async def answer(what):
    return what


async def test_a_bad_order_names_what_is_wrong(serve):
    _, _, caller = await opened(serve)
    missing = await caller.ask("POST", "/send", b'{"channel": "shop"}')
    assert missing.status == 422 and "content" in missing.json["detail"]
    unknown = await caller.ask("POST", "/send", b'{"channel": "shop", "content": "x", "chanel": 1}')
    assert unknown.status == 422 and "chanel" in unknown.json["detail"]
    endless = await caller.ask("POST", "/send", b'{"channel": "shop", "content": "x", "wait_seconds": 1e9}')
    assert endless.status == 422 and "wait_seconds" in endless.json["detail"]
    assert (await caller.ask("POST", "/send", b"{")).status == 400
    assert (await caller.ask("POST", "/send", b'"\xff"')).status in (400, 422)


async def test_refusals_carry_their_reason(serve):
    _, _, caller = await opened(serve)
    flood = await caller.ask("POST", "/send", b'{"channel": "shop", "content": "flood"}')
    assert (flood.status, flood.headers["retry-after"]) == (503, "2")
    gone = await caller.ask("GET", "/trace/e9")
    assert (gone.status, gone.json["detail"]) == (404, "No message has the id e9.")
    assert (await caller.ask("POST", "/dead/e1.0/drop")).status == 409


async def test_tail_shows_what_happens_from_now_on_and_forgets_a_reader_that_left(serve):
    _, watchers, caller = await opened(serve)
    report = make_report(Book(), watchers, None, lambda: 0.0)
    async with caller.open("GET", "/tail") as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        pieces = answer.pieces()
        assert await anext(pieces) == b"\n"
        report(EnvelopeAccepted("e1", "shop", "c"))
        line = msgspec.json.decode(await anext(pieces))
        assert (line["notice"], line["envelope_id"]) == ("EnvelopeAccepted", "e1")
    with trio.fail_after(60):
        while watchers.all:
            await trio.sleep(0.01)


async def test_head_of_what_streams_is_the_head_alone(serve):
    control, watchers, caller = await opened(serve)
    read, stories = [], control.dead_stories
    control.dead_stories = lambda: read.append("the journal") or stories()
    for target in ("/tail", "/dead/export"):
        with trio.fail_after(60):
            answer = await caller.ask("HEAD", target)
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/x-ndjson", b"")
    assert not watchers.all and not read


async def test_a_tail_that_lost_notices_says_how_many(serve):
    _, watchers, caller = await opened(serve)
    report = make_report(Book(), watchers, None, lambda: 0.0)
    async with caller.open("GET", "/tail") as answer:
        pieces = answer.pieces()
        await anext(pieces)
        for _ in range(4000):
            report(EnvelopeAccepted("e1", "shop", "c"))
        seen = [msgspec.json.decode(await anext(pieces)) for _ in range(3000)]
        report(EnvelopeAccepted("e2", "shop", "c"))
        while seen[-1].get("envelope_id") != "e2":
            seen.append(msgspec.json.decode(await anext(pieces)))
    assert [line["notice"] for line in seen[-2:]] == ["Gap", "EnvelopeAccepted"]
    assert seen[-2]["missed"] == 4000 - (len(seen) - 2) > 0


async def test_an_address_that_asked_not_to_be_sent_to_is_listed_and_enabled(serve):
    control, _, caller = await opened(serve)
    assert (await caller.ask("GET", "/disabled")).json == [{"channel": "shop", "address": "https://gone.example/"}]
    gone = DisabledAddress(channel="shop", address="https://gone.example/")
    answer = await caller.ask("POST", "/disabled", msgspec.json.encode(gone))
    assert (answer.status, control.enabled) == (200, gone)
    assert (await caller.ask("POST", "/disabled", b"[]")).status == 422
    assert (await caller.ask("POST", "/disabled", b"{")).status == 400


def test_the_readme_names_every_request():
    told = (Path(__file__).parents[2] / "gateway" / "api" / "README.md").read_text("utf-8")
    routes = control_routes(FakeControl(), Watchers(), masks=Masks(), verbosity=Verbosity())
    asked = [f"{method} {re.sub('{.*?}', '<id>', route.path)}" for route in routes for method in route.methods]
    assert [each for each in asked if not re.search(rf"`{re.escape(each)}[`?]", told)] == []
