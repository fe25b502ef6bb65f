"""What one channel, model or message does wrong stays with it: the gateway beside it goes on."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest
import trio
from markupsafe import Markup

from gateway.errors import Hold, ModelError, Reject
from gateway.flow.retry import TRIP, RetryPolicy
from gateway.journal import Memory
from gateway.message.dictionary import Dictionaries
from gateway.message.keyring import new_keyring
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt
from gateway.message.seal import Sealer
from gateway.notices import DeliveryBuried, EnvelopeBuried, EnvelopeRejected, RequestFailed, StepFailed
from gateway.ports import Accepted, ModelAnswer, ModelCall, Traits
from tests.support.story import gateway, hook


@pytest.mark.parametrize("more_wait", [True, False])
@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_receipt_that_comes_behind_the_deadline_counts_once(
    idempotent: bool, more_wait: bool, autojump_clock: Any
) -> None:
    async def deaf() -> Receipt:
        with trio.CancelScope(shield=True):  # as a thread is, which nobody can cancel
            await trio.sleep(40)
        return Delivered("late")

    async with gateway(traits=Traits(idempotent=idempotent)) as story:
        story.channels["chat"].will(deaf)
        first = await story.receives("one")
        if more_wait:
            await story.receives("two")
        await story.settles()
        assert story.sent() == (["one", "two"] if more_wait else ["one"])
        await story.receives("three")
        await story.settles()
        assert story.sent()[-1] == "three"
        row = await story.flow.ground.journal.delivery(f"{first}.0")
        assert row is not None and row.state.value == "delivered"
        await story.flow.outbox.drain()


class Hasty:
    """A plugged-in part of a channel that raises."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, *_: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise LookupError("a bug")
        return ""


@pytest.mark.parametrize("waits", [True, False])
async def test_a_channel_that_cannot_cut_a_reply_costs_that_message_alone(waits: bool, autojump_clock: Any) -> None:
    class Slow:
        async def answer(self, call: ModelCall) -> ModelAnswer:
            await trio.sleep(1)
            return ModelAnswer(text=call.turns[-1].text)

        def stream(self, call: ModelCall) -> Any:
            raise NotImplementedError

    pipelines = {"slow": "pipeline: [{name: say, model: slow}]"}
    how: dict[str, Any] = {"pipelines": pipelines, "models": {"slow": Slow()}, "default_pipeline": "slow"}
    async with gateway(**(how if waits else {})) as story:
        await trio.sleep(1)
        breaks = Hasty(1)
        story.channels["chat"].cut = lambda reply: breaks() or [reply.content]  # type: ignore[attr-defined]
        first = await story.receives("one")
        await story.receives("two")
        await story.settles()
        assert story.sent() == ["two"]
        assert await story.state(first) == "dead"
        assert {(failed.where, failed.envelope_id) for failed in story.reported(RequestFailed)} <= {
            ("the walk of a message", first)
        }


async def test_a_channel_that_cannot_name_its_circuit_is_tried_again(autojump_clock: Any) -> None:
    async with gateway() as story:
        story.channels["chat"].circuit_of = Hasty(3)  # type: ignore[attr-defined]
        story.flow.outbox.attach(story.channels["chat"])
        await story.receives("one")
        await story.receives("two")
        await story.settles()
        assert story.sent() == ["one", "two"]


@pytest.mark.parametrize("name", [["a", "list"], {"a": "table"}, b"bytes", 5, None])
async def test_a_channel_that_names_its_circuit_by_no_text_ends_no_gateway(name: Any, autojump_clock: Any) -> None:
    async with gateway() as story:
        channel = story.channels["chat"]
        channel.circuit_of = lambda _: name  # type: ignore[attr-defined]
        story.flow.outbox.attach(channel)
        channel.will(*[Deferred("down")] * TRIP, Bounced("gone", disable=True))
        await story.receives("one")
        await story.receives("two")
        await story.settles()
        assert story.sent() == ["one"] * (TRIP + 1)


class Mute(Exception):
    """What has no words for itself."""

    def __str__(self) -> str:
        raise LookupError("no words")


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), Mute()], ids=repr)
@pytest.mark.parametrize("part", ["address_of", "cut", "circuit_of", "deliver_now"])
async def test_what_a_part_of_a_channel_raises_costs_no_other_message(
    part: str, error: BaseException, autojump_clock: Any
) -> None:
    def breaks(*_: Any) -> Any:
        if errors:
            raise errors.pop()
        return {"address_of": {}, "cut": ["cut"], "circuit_of": "", "deliver_now": False}[part]

    errors = [error]
    async with gateway() as story:
        await trio.sleep(1)
        setattr(story.channels["chat"], part, breaks)
        story.flow.outbox.attach(story.channels["chat"])
        first = await story.receives("one")
        await story.receives("two")
        await story.settles()
        assert story.sent()[-1] in ("two", "cut")
        assert await story.state(first) == ("dead" if part == "cut" else "done")


async def test_asyncios_cancellation_while_a_reply_is_sent_at_once_costs_that_attempt_alone(
    autojump_clock: Any,
) -> None:
    async with gateway(traits=Traits(idempotent=True), policy=RetryPolicy(first_seconds=1.0)) as story:
        errors, channel = [asyncio.CancelledError()], story.channels["chat"]

        def deliver_now(*_: Any) -> bool:
            if errors:
                raise errors.pop()
            return False

        channel.deliver_now = deliver_now  # type: ignore[attr-defined]
        story.flow.outbox.attach(channel)
        await story.receives("one")
        await story.settles()
        assert story.sent() == ["one"]


@pytest.mark.parametrize("after_a_pause", [True, False])
async def test_a_channel_that_fails_to_send_at_once_is_tried_again(after_a_pause: bool, autojump_clock: Any) -> None:
    async with gateway(policy=RetryPolicy(first_seconds=1.0)) as story:
        channel, breaks = story.channels["chat"], Hasty(2)
        if after_a_pause:
            channel.will(Deferred("busy"))
        begins: list[Any] = [None] if after_a_pause else []

        def deliver_now(*_: Any) -> bool:
            return False if begins and begins.pop() is None else bool(breaks())

        channel.deliver_now = deliver_now  # type: ignore[attr-defined]
        story.flow.outbox.attach(channel)
        await story.receives("one")
        await story.receives("two")
        await story.settles()
        assert story.sent()[-2:] == ["one", "two"]
        assert story.flow.outbox.pending == 0


async def test_a_channel_that_answers_before_it_returns_empties_a_deep_queue_in_order(autojump_clock: Any) -> None:
    async with gateway(policy=RetryPolicy(first_seconds=5.0)) as story:
        channel, said, held = story.channels["chat"], [], [Deferred("busy")]

        def deliver_now(delivery: Any, deadline: float, then: Any) -> bool:
            said.append(delivery.message.content)
            then(held.pop() if held else Delivered())
            return delivery.message.content != "7"  # which it denies afterwards: it must not be sent twice

        async def deliver(delivery: Any) -> Receipt:
            said.append(delivery.message.content)
            return Delivered()

        channel.deliver_now, channel.deliver = deliver_now, deliver  # type: ignore[attr-defined,method-assign]
        story.flow.outbox.attach(channel)  # what a channel offers is looked up when it is attached
        for number in range(200):
            story.offer(story.message(str(number)))
        await story.settles()
        assert said == ["0", *map(str, range(200))]
        assert story.flow.outbox.pending == 0
        with trio.fail_after(5):
            await story.flow.outbox.drain()


async def test_a_channel_that_never_says_what_came_of_a_delivery_holds_it_up_for_its_deadline(
    autojump_clock: Any,
) -> None:
    async with gateway(policy=RetryPolicy(attempt_seconds=30.0, first_seconds=1.0)) as story:
        channel, began, late = story.channels["chat"], [], []

        def deliver_now(delivery: Any, deadline: float, then: Any) -> bool:
            began.append(trio.current_time())
            late.append(then)
            return len(began) <= 2

        channel.deliver_now = deliver_now  # type: ignore[attr-defined]
        story.flow.outbox.attach(channel)
        await story.receives("one")
        await story.receives("two", conversation="another")
        await story.settles()
        late[0](Delivered("long after"))
        assert sorted(story.sent()) == ["one", "two"]
        assert 35.0 <= channel.times[0] <= 40.0
        assert story.flow.outbox.pending == 0
        with trio.fail_after(5):
            await story.flow.outbox.drain()


async def test_a_message_whose_key_is_gone_stays_where_a_person_finds_it(autojump_clock: Any) -> None:
    async with gateway(rules='WHEN message.content == "one" THEN hold("look")') as story:
        held = await story.receives("one")
        await story.settles()
        recovery, random = story.flow.recovery, story.flow.ground.random
        recovery._sealer = Sealer(new_keyring(2e9, random), Dictionaries(), random)
        assert not await recovery.readmit(held, "let it go")
        assert await story.state(held) == "held"


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize(
    "odd",
    [
        None,
        "delivered",
        Delivered(5),  # type: ignore[arg-type]
        Delivered("\ud800"),
        Deferred(None),  # type: ignore[arg-type]
        Deferred("\ud800", float("nan")),
        Deferred("soon", -1e300),
        Deferred("late", float("inf")),
        Deferred("late", 10**400),
        ValueError("\ud800"),
        Bounced("a platform's whole answer, " * 100_000),
        SystemExit(3),
        BaseExceptionGroup("", [SystemExit(3)]),
    ],
    ids=lambda odd: repr(odd)[:60],
)
async def test_what_is_no_receipt_costs_that_delivery_an_attempt_and_no_other_one(
    odd: Any, idempotent: bool, autojump_clock: Any
) -> None:
    async def answers() -> Any:
        return odd

    async with gateway(traits=Traits(idempotent=idempotent)) as story:
        story.channels["chat"].will(odd if isinstance(odd, BaseException) else answers)
        first = await story.receives("one")
        await story.settles()
        await story.receives("two")
        await story.settles()
        assert story.sent()[-1] == "two"
        row = await story.flow.ground.journal.delivery(f"{first}.0")
        assert row is not None
        assert row.state.value in ("delivered", "unknown", "dead")
        assert all(len(each.why) < 10_000 for each in story.reported(DeliveryBuried))


async def test_an_operators_code_that_ends_the_program_ends_its_message_alone(autojump_clock: Any) -> None:
    def leaves(message: Any) -> None:
        if message.content == "one":
            sys.exit("good\ud800bye")

    def goes(inputs: Any) -> str:
        return sys.exit(1) if "two" in inputs.values() else "a\ud800b"

    pipelines = {"own": "pipeline: [{name: say, function: 'mine:goes'}]"}
    async with gateway(
        pipelines=pipelines, functions={"mine:goes": goes}, default_pipeline="own", inbound=[hook(leaves)]
    ) as story:
        first, second = await story.receives("one"), await story.receives("two")
        await story.receives("three")
        await story.settles()
        assert story.sent() == ["a\ufffdb"]
        assert (await story.state(first), await story.state(second)) == ("rejected", "dead")


async def test_a_reason_of_odd_text_is_kept_with_a_character_less(autojump_clock: Any) -> None:
    def odd(message: Any) -> None:
        raise ValueError("a\ud800b")

    async with gateway(inbound=[hook(odd)]) as story:
        assert await story.state(await story.receives("one")) in ("accepted", "rejected")
        await story.settles()
        assert story.reported(EnvelopeRejected)
        assert not story.reported(EnvelopeBuried)


async def test_a_message_whose_end_the_tables_refuse_is_a_dead_letter_and_its_conversation_goes_on(
    autojump_clock: Any,
) -> None:
    memory = Memory()
    memory.db.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON delivery WHEN NEW.id LIKE '%.0' AND (SELECT count(*) FROM inbound) = 2 "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    async with gateway(memory=memory) as story:
        answers = story.offer(story.message("one"), story.message("two"))
        await story.settles()
        assert story.sent() == []
        assert [await story.state(answer.id) for answer in answers if isinstance(answer, Accepted)] == ["dead", "dead"]
        assert [notice.why for notice in story.reported(EnvelopeBuried)] == [
            "its end cannot be kept: the journal's tables refuse it: not this one"
        ] * 2
        await story.receives("three")
        await story.settles()
        assert story.sent() == ["three"]


def forgets(inputs: dict[str, str]) -> None:
    """A step's function without its `return`."""


async def forgets_later(inputs: dict[str, str]) -> None:
    await trio.sleep(0)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("prompt: '{{ context[0].no.such }}', model: echo", "its prompt cannot be filled in: UndefinedError"),
        ("function: 'mine:forgets'", "the function returned nothing"),
        ("function: 'mine:forgets_later'", "the function returned nothing"),
    ],
)
async def test_a_step_that_an_operator_wrote_wrong_gives_up_with_the_pipelines_words(
    step: str, why: str, autojump_clock: Any
) -> None:
    spec = f"{{pipeline: [{{name: a, input_mapping: {{context: user_message}}, {step}}}], on_failure: sorry}}"
    functions = {"mine:forgets": forgets, "mine:forgets_later": forgets_later}
    async with gateway(pipelines={"p": spec}, functions=functions, default_pipeline="p") as story:
        first = await story.receives("hello")
        await story.settles()
        assert story.sent() == ["sorry"]
        assert await story.state(first) == "dead"
        assert story.reported(RequestFailed) == []
        assert why in story.reported(EnvelopeBuried)[-1].why


async def in_a_nursery(error: BaseException) -> None:
    async with trio.open_nursery():
        raise error


def cancelled_elsewhere(message: Any) -> None:
    raise asyncio.CancelledError  # what `asyncio.run` lets out; no Exception


async def leaves_from_a_nursery(message: Any) -> None:
    await in_a_nursery(SystemExit(3))


@pytest.mark.parametrize("call", [cancelled_elsewhere, leaves_from_a_nursery])
@pytest.mark.parametrize("mode", ["loop", "slow"])
async def test_a_hook_that_raises_what_is_no_exception_fails_and_ends_nothing(
    call: Any, mode: str, autojump_clock: Any
) -> None:
    autojump_clock.autojump_threshold = 0.05
    async with gateway(inbound=[hook(call, mode=mode, policy="skip", deadline_seconds=5.0)]) as story:
        await story.receives("one")
        await story.settles()
        assert story.sent() == ["one"]


async def test_a_slow_hook_that_hangs_takes_no_thread_of_another(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.daemon.stages.SLOW_AT_ONCE", 1)
    autojump_clock.autojump_threshold = 0.05
    over, seen = threading.Event(), set[str]()

    def hangs(message: Any) -> None:
        over.wait(60)

    def looks(message: Any) -> None:
        seen.add(message.content)

    slow: dict[str, Any] = {"mode": "slow", "policy": "skip", "deadline_seconds": 1.0}
    said = {"one", "two"}
    try:
        async with gateway(inbound=[hook(hangs, **slow), hook(looks, **slow)]) as story:
            for text in sorted(said):
                await story.receives(text)
                await story.settles()
            assert set(story.sent()) == seen == said
    finally:
        over.set()


async def refuses(message: Any) -> None:
    await in_a_nursery(Reject("not this", tell="Not today."))


async def holds(message: Any) -> None:
    await in_a_nursery(Hold("look at this"))


@pytest.mark.parametrize(("call", "state", "said"), [(refuses, "rejected", ["Not today."]), (holds, "held", [])])
async def test_a_hooks_verdict_counts_when_a_nursery_wraps_it(
    call: Any, state: str, said: list[str], autojump_clock: Any
) -> None:
    async with gateway(inbound=[hook(call, policy="skip")]) as story:
        first = await story.receives("hello")
        await story.settles()
        assert (await story.state(first), story.sent()) == (state, said)


class Marked(str):
    """A text that is more than one, as escaped markup is."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Reject(KeyError("caught")), "rejected"),  # type: ignore[arg-type]
        (Reject(None, tell=404), "rejected"),  # type: ignore[arg-type]
        (Reject(Mute(), tell=Mute()), "rejected"),  # type: ignore[arg-type]
        (Reject(Markup("<b>no</b>"), tell=Markup("no")), "rejected"),
        (Hold(KeyError("caught")), "held"),  # type: ignore[arg-type]
        (ValueError(Mute()), "rejected"),
        (Reject(Marked("no"), tell=Marked("Not today.")), "rejected"),
        (Hold(Marked("look")), "held"),
    ],
)
async def test_a_verdict_with_a_reason_that_is_no_text_is_one_all_the_same(
    verdict: Exception, state: str, autojump_clock: Any
) -> None:
    def judges(message: Any) -> None:
        raise verdict

    async with gateway(inbound=[hook(judges)]) as story:
        first = await story.receives("hello")
        await story.settles()
        assert await story.state(first) == state
        assert story.reported(RequestFailed) == []


@pytest.mark.parametrize(
    ("text", "said"), [(Marked("hi"), ["hi"]), (None, ["sorry"]), (b"hi", ["sorry"]), (5, ["sorry"])]
)
async def test_a_models_text_is_one_or_the_step_gives_up(text: Any, said: list[str], autojump_clock: Any) -> None:
    class Odd:
        def answer(self, call: ModelCall) -> ModelAnswer:
            return ModelAnswer(text=text)

    spec = "{pipeline: [{name: a, model: it}], on_failure: sorry}"
    async with gateway(pipelines={"p": spec}, models={"it": Odd()}, default_pipeline="p") as story:
        await story.receives("hello")
        await story.settles()
        assert (story.sent(), story.reported(RequestFailed)) == (said, [])


async def test_of_what_a_model_says_about_its_failure_a_readable_part_is_kept(autojump_clock: Any) -> None:
    class Talks:
        def answer(self, call: ModelCall) -> ModelAnswer:
            raise ModelError("a page of HTML, " * 100_000, passing=False)

    async with gateway(
        pipelines={"p": "{pipeline: [{name: a, model: it}]}"}, models={"it": Talks()}, default_pipeline="p"
    ) as story:
        await story.receives("hello")
        await story.settles()
        (failed,) = story.reported(StepFailed)
        assert len(failed.why) < 10_000


class Wraps:
    """A model that raises inside a nursery, a few times."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    async def answer(self, call: ModelCall) -> ModelAnswer:
        if self.errors:
            await in_a_nursery(self.errors.pop(0))
        return ModelAnswer(text="at last")

    async def stream(self, call: ModelCall) -> Any:
        yield "some"
        await self.answer(call)


BUSY = ModelError("busy", passing=True)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Wraps(BUSY, BUSY), ["at last"]),
        (Wraps(ModelError("no", passing=False)), ["sorry"]),
        (Wraps(ModelError(LookupError("no"), passing=False)), ["sorry"]),  # type: ignore[arg-type]
        (Wraps(ModelError("a worker's whole log, " * 100_000, passing=False)), ["sorry"]),
        (Wraps(asyncio.CancelledError()), ["sorry"]),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_model_that_raises_in_a_nursery_is_asked_again_or_not_as_it_says(
    model: Any, said: list[str], streams: bool, autojump_clock: Any
) -> None:
    model = Wraps(*model.errors)
    spec = "{pipeline: [{name: a, model: it}], on_failure: sorry}"
    traits = Traits(idempotent=True, can_stream=streams)
    async with gateway(pipelines={"p": spec}, models={"it": model}, traits=traits, default_pipeline="p") as story:
        if streams:
            story.channels["chat"].stream = read_all  # type: ignore[attr-defined]
        await story.receives("hello")
        await story.settles()
        assert story.sent() == (["sorry"] if streams else said)
        assert all(len(each.why) < 10_000 for each in story.reported(StepFailed))


async def read_all(_delivery: Any, pieces: Any) -> Receipt:
    async for _ in pieces:
        pass
    return Delivered()
