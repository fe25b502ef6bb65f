"""A stream that hangs or breaks on either side ends its own reply, and frees its conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from gateway.errors import Hold, Reject
from gateway.flow.rows import delivery_in
from gateway.journal import Memory
from gateway.message.envelope import Delivery
from gateway.message.lifecycle import DeliveryState
from gateway.message.receipt import Bounced, Delivered, Receipt
from gateway.notices import RequestFailed
from gateway.ports import ModelAnswer, ModelCall, Traits
from protocols.json_text import encode_json
from tests.support.story import gateway, hook

PIPELINE = "{pipeline: [{name: say, model: it, deadline_seconds: 5}], on_failure: sorry}"


class Model:
    """Says two words; in between it does what it is told to."""

    def __init__(self, trouble: Any) -> None:
        self._trouble = trouble

    def answer(self, call: ModelCall) -> ModelAnswer:
        return ModelAnswer(text="whole")

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        yield "two "
        await self._trouble()
        yield "words"


async def breaks() -> None:
    raise LookupError("a bug")


async def leaves() -> None:
    raise SystemExit(3)


async def nothing() -> None:
    await trio.sleep(0.1)


async def reads(_: Delivery, pieces: AsyncIterator[str]) -> Receipt:
    async for _piece in pieces:
        pass
    return Delivered()


async def lingers(_: Delivery, pieces: AsyncIterator[str]) -> Receipt:
    async for _piece in pieces:
        pass
    await trio.sleep_forever()
    raise AssertionError("it never comes here")


async def fails(_: Delivery, pieces: AsyncIterator[str]) -> Receipt:
    await anext(pieces)
    raise LookupError("a bug")


async def quits(_: Delivery, pieces: AsyncIterator[str]) -> Receipt:
    await anext(pieces)
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("trouble", "stream", "state", "said"),
    [
        (trio.sleep_forever, reads, "dead", ["sorry"]),
        (breaks, reads, "dead", ["sorry"]),
        (leaves, reads, "dead", ["sorry"]),
        (nothing, fails, "done", ["whole"]),
        (nothing, quits, "done", ["whole"]),
        (nothing, lingers, "done", ["two words"]),
    ],
    ids=[
        "the model hangs",
        "the provider raises",
        "the provider exits",
        "the channel raises",
        "the channel exits",
        "the channel hangs when the model is through",
    ],
)
async def test_trouble_in_a_stream(trouble: Any, stream: Any, state: str, said: list[str], autojump_clock: Any) -> None:
    how: dict[str, Any] = {"pipelines": {"it": PIPELINE}, "models": {"it": Model(trouble)}, "default_pipeline": "it"}
    async with gateway(traits=Traits(idempotent=True, can_stream=True), **how) as story:
        story.channels["chat"].stream = stream  # type: ignore[attr-defined]
        first = await story.receives("hello")
        with trio.fail_after(60):
            await story.settles()
        assert await story.state(first) == state
        assert story.sent() == said
        assert story.reported(RequestFailed) == []


class Lends(Model):
    """Holds a connection while it says its words."""

    holds = False

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        self.holds = True
        try:
            yield "two "
            yield "\ud83d"
            yield "\ude00"
        finally:
            await trio.sleep(0)
            self.holds = False


class Piece(str):
    """A piece of a reply that does not let itself be put behind a text."""

    def __radd__(self, before: str) -> str:
        raise AssertionError(f"{len(before)} characters are copied for {len(self)} more")


class Patters(Model):
    """Says a letter at a time."""

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        for letter in "so it \r\n\ud83dgrows":
            yield Piece(letter)


async def test_what_was_streamed_is_not_copied_with_each_piece(autojump_clock: Any) -> None:
    how: dict[str, Any] = {"pipelines": {"it": PIPELINE}, "models": {"it": Patters(nothing)}, "default_pipeline": "it"}
    async with gateway(traits=Traits(idempotent=True, can_stream=True), **how) as story:
        story.channels["chat"].stream = reads  # type: ignore[attr-defined]
        first = await story.receives("hello")
        await story.settles()
        assert await story.state(first) == "done"
        row = await story.flow.ground.journal.delivery(f"{first}.0")
        assert row is not None
        assert delivery_in(story.flow.ground.sealer, row).message.content == "so it \r\n\ufffdgrows"


async def writes(_: Delivery, pieces: AsyncIterator[str]) -> Receipt:
    async for piece in pieces:
        encode_json({"text": piece})
    return Delivered()


class Writes(Model):
    """Says pieces of a class of their own, as escaped markup is."""

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        yield Piece("marked ")
        yield Piece("up")


async def test_pieces_that_are_more_than_a_text_are_streamed_as_one(autojump_clock: Any) -> None:
    how: dict[str, Any] = {"pipelines": {"it": PIPELINE}, "models": {"it": Writes(nothing)}, "default_pipeline": "it"}
    async with gateway(traits=Traits(idempotent=True, can_stream=True), **how) as story:
        story.channels["chat"].stream = writes  # type: ignore[attr-defined]
        first = await story.receives("hello")
        await story.settles()
        assert (await story.state(first), story.sent()) == ("done", []), "the model is not asked for a whole answer"


async def leaves_off(_: Delivery, pieces: AsyncIterator[str]) -> Receipt:
    await anext(pieces)
    return Bounced("gone")


@pytest.mark.parametrize(("stream", "said"), [(leaves_off, ["whole"]), (reads, [])])
async def test_a_models_stream_is_closed_with_its_reader(stream: Any, said: list[str], autojump_clock: Any) -> None:
    model = Lends(nothing)
    how: dict[str, Any] = {"pipelines": {"it": PIPELINE}, "models": {"it": model}, "default_pipeline": "it"}
    async with gateway(traits=Traits(idempotent=True, can_stream=True), **how) as story:
        story.channels["chat"].stream = stream  # type: ignore[attr-defined]
        first = await story.receives("hello")
        await story.settles()
        assert not model.holds
        assert (await story.state(first), story.sent()) == ("done", said)
        if not said:
            row = await story.flow.ground.journal.delivery(f"{first}.0")
            assert row is not None
            assert delivery_in(story.flow.ground.sealer, row).message.content == "two 😀"


class Unable(Model):
    def stream(self, call: ModelCall) -> Any:
        raise NotImplementedError


async def test_a_provider_that_cannot_begin_a_stream_ends_its_reply_alone(autojump_clock: Any) -> None:
    how: dict[str, Any] = {"pipelines": {"it": PIPELINE}, "models": {"it": Unable(nothing)}, "default_pipeline": "it"}
    async with gateway(traits=Traits(idempotent=True, can_stream=True), **how) as story:
        story.channels["chat"].stream = reads  # type: ignore[attr-defined]
        first = await story.receives("hello")
        await story.settles()
        assert (await story.state(first), story.sent()) == ("dead", ["sorry"])
        assert story.reported(RequestFailed) == []


async def test_what_was_streamed_before_a_crash_says_so_when_a_person_puts_it_back(
    autojump_clock: Any,
) -> None:
    how: dict[str, Any] = {"pipelines": {"it": PIPELINE}, "models": {"it": Model(nothing)}, "default_pipeline": "it"}
    memory, seen = Memory(), []

    async def crashes(delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        memory.crash()
        return await reads(delivery, pieces)

    async def notes(delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        seen.append((delivery.id, delivery.repeated))
        return await reads(delivery, pieces)

    with trio.CancelScope() as life:
        async with gateway(memory=memory, traits=Traits(idempotent=True, can_stream=True), **how) as story:
            story.channels["chat"].stream = crashes  # type: ignore[attr-defined]
            first = await story.receives("hello")
            await memory.until_crashed()
            life.cancel()
            await trio.lowlevel.checkpoint()
    rules = 'WHEN message.content == "hello" THEN hold("look at it")'
    async with gateway(memory=memory, traits=Traits(idempotent=True, can_stream=True), rules=rules, **how) as story:
        story.channels["chat"].stream = notes  # type: ignore[attr-defined]
        await story.settles()
        assert await story.flow.recovery.readmit(first, "put back")
        await story.settles()
        assert seen == [(f"{first}.0", True)]


@pytest.mark.parametrize(
    ("verdict", "state", "replies", "forwarded"),
    [
        (Reject("not there", tell="Not there, sorry."), "rejected", [".0", ".1"], []),
        (Hold("look at it"), "held", [".0"], ["hello"]),
    ],
    ids=["reject", "hold"],
)
async def test_what_was_streamed_counts_although_a_hook_stops_the_forward_beside_it(
    verdict: Exception, state: str, replies: list[str], forwarded: list[str], autojump_clock: Any
) -> None:
    streamed: list[str] = []

    async def notes(delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        streamed.append(delivery.id)
        return await reads(delivery, pieces)

    def stops(message: Any) -> None:
        raise verdict

    async with gateway(
        pipelines={"it": PIPELINE},
        models={"it": Model(nothing)},
        default_pipeline="it",
        rules='WHEN message.content == "hello" THEN forward("oncall", "duty") CONTINUE',
        outbound=[hook(stops, channels=frozenset({"oncall"}))],
        traits={"chat": Traits(idempotent=True, can_stream=True), "oncall": Traits(idempotent=True)},
    ) as story:
        story.channels["chat"].stream = notes  # type: ignore[attr-defined]
        envelope = await story.receives("hello")
        await story.settles()
        assert await story.state(envelope) == state
        rows = await story.flow.ground.journal.deliveries_of(envelope)
        assert [row.id for row in rows] == [envelope + each for each in replies]
        assert {row.state for row in rows} == {DeliveryState.DELIVERED}
        await story.flow.recovery.readmit(envelope, "released by an operator")
        await story.settles()
        assert story.sent(channel="oncall") == forwarded
        assert streamed == [f"{envelope}.0"]
