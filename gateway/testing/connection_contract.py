"""What every channel must do while connections break and the gateway stops: lose nothing, say nothing twice.

    class MyPlatform: ...   # a fake of the platform, which does as the test says (see `Platform`)

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    async def test_whatever_breaks(promise, autojump_clock):
        await promise(MyPlatform)

It is the same whoever connects to whom. What holds besides for a channel that connects by itself is in
`dialing_contract.py`; a platform that calls webhooks needs little more than `calling.CallingPlatform`.

Written for a mocked clock: pauses of minutes take no time. A fake that talks through sockets of this machine needs
`MockClock(autojump_threshold=0.01)`, so that time leaps only when nothing is under way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count, product
from typing import Any, Literal, Protocol, assert_never

import trio
from msgspec.structs import replace

from gateway.message.envelope import Delivery
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.ports import Kit, Refused
from gateway.testing.channels import FakeInlet, bench, delivery

Break = Literal["closed", "reset", "silent", "sent away"]
BREAKS: tuple[Break, ...] = ("closed", "reset", "silent", "sent away")
# Longer than any pause between connections and any silence that a channel bears, on the mocked clock.
LONG = 3600.0
# An absence that everybody notices.
AWAY = 300.0
# A channel that is told to stop may still say goodbye.
STOP_SECONDS = 10.0
# How many steps of the scheduler a conversation goes on before it is broken: dense where a call or frame is under way.
_MOMENTS = (0, 1, 2, 3, 5, 8, 13, 21)
# The outbox's own patience with one attempt.
_ATTEMPT_SECONDS = 60.0


class Platform(Protocol):
    """A fake of the platform, made anew for each promise and open while its block runs."""

    keeps: bool
    """What a person says is kept until the channel has taken it. Without it (IRC), what nobody hears is gone."""

    def channel(self, kit: Kit, inlet: FakeInlet) -> Any:
        """Make the channel under test, configured for this platform. A platform that calls us brings its calls, from
        the moment on when the channel runs, to the newest channel, and what that makes of them to `inlet`."""

    def reply(self, text: str) -> Message:
        """Make a reply to the person who talks here."""

    async def says(self, text: str) -> None:
        """Let a person say something; one that `keeps` returns at once."""

    async def breaks(self, how: Break) -> None:
        """End the connection so: in order, by a reset, by silence with the socket open, or with a word of farewell."""

    def goes_down(self) -> None:
        """Be unreachable from now on, and end what connections there are."""

    def comes_back(self) -> None:
        """Be reachable again."""

    def loses_the_next_answer(self) -> None:
        """Take the next message of the channel, and break the connection instead of answering."""

    def heard(self) -> list[str]:
        """Return the texts that the channel said, in order; a repetition that the platform drops stands there once."""


MakePlatform = Callable[[], AbstractAsyncContextManager[Any]]
"""Makes a `Platform`; `Any`, as a `DialingPlatform` will do."""


async def what_is_said_arrives_in_order(make: MakePlatform) -> None:
    """Everything once, in the order in which it was said."""
    async with connected(make) as (platform, _, inlet):
        for number in range(20):
            await platform.says(f"word {number}")
        await until(lambda: len(inlet.messages) == 20)
        assert _texts(inlet) == [f"word {number}" for number in range(20)]
        keys = {message.dedupe_key for message in inlet.messages}
        assert len(keys) == 20 and "" not in keys


async def a_reply_arrives_as_it_was_written(make: MakePlatform) -> None:
    """Delivered means that the platform has it."""
    async with connected(make) as (platform, channel, _):
        for number, text in enumerate(("first", "second: é 漢字 🎉")):
            assert await _outcome(channel, delivery(platform.reply(text), index=number))
        assert platform.heard() == ["first", "second: é 漢字 🎉"]


async def a_break_at_any_moment_loses_nothing_and_repeats_nothing(make: MakePlatform) -> None:
    """Each kind of disconnect, at each step of a conversation: every word once and in order, both ways."""
    for how, moment in product(BREAKS, _MOMENTS):
        async with connected(make) as (platform, channel, inlet), trio.open_nursery() as nursery:
            ups = inlet.states.count("connected")
            sent: list[str] = []
            nursery.start_soon(_replies, channel, platform, sent)
            for number in range(3):
                await platform.says(f"word {number}")
            for _ in range(moment):
                await trio.lowlevel.checkpoint()
            await platform.breaks(how)
            if not platform.keeps:
                await until(partial(_connected_again, inlet, ups))
            await platform.says("last")
            await until(partial(_last_is, inlet, "last"))
            await until(partial(_has, sent, 3))
            everything = ["word 0", "word 1", "word 2", "last"]
            assert _in_order(_texts(inlet), everything), (how, moment, _texts(inlet))
            assert not platform.keeps or _texts(inlet) == everything, (how, moment, _texts(inlet))
            heard, known = platform.heard(), [text for text in sent if text]
            assert _in_order(heard, ["reply 0", "reply 1", "reply 2"]), (how, moment, heard)
            assert set(known) <= set(heard), "what counts as delivered has arrived"


async def what_was_said_meanwhile_is_caught_up(make: MakePlatform) -> None:
    """The gateway was stopped: what people said in the meantime comes before what they say next."""
    async with make() as platform:
        if not platform.keeps:
            return
        inlet = FakeInlet()
        async with running(platform, inlet):
            await platform.says("before")
            await until(lambda: _texts(inlet) == ["before"])
        for number in range(3):
            await platform.says(f"meanwhile {number}")
        await trio.sleep(AWAY)
        async with running(platform, inlet):
            await until(lambda: len(inlet.messages) == 4)
            await platform.says("after")
            await until(lambda: len(inlet.messages) == 5)
        assert _texts(inlet) == ["before", "meanwhile 0", "meanwhile 1", "meanwhile 2", "after"]


async def what_is_in_hand_when_it_stops_is_neither_lost_nor_repeated(make: MakePlatform) -> None:
    """The channel ends while a commit is under way, which still succeeds (a drain) or never does (a crash)."""
    for commits in (True, False):
        async with make() as platform:
            if not platform.keeps:
                return
            inlet = FakeInlet()
            async with running(platform, inlet):
                inlet.held = True
                await platform.says("in hand")
                await until(partial(_has, inlet.waiting, 1))
            if commits:
                inlet.commit()
            inlet.held = False
            inlet.waiting.clear()
            async with running(platform, inlet):
                await platform.says("next")
                await until(partial(_last_is, inlet, "next"))
            assert _texts(inlet) == ["in hand", "next"], commits


async def what_the_gateway_cannot_take_yet_is_not_lost(make: MakePlatform) -> None:
    """A journal that cannot write for a while: what was read is offered again, or told again."""
    async with connected(make) as (platform, _, inlet):
        inlet.refusing = Refused("journal", 5.0)
        await platform.says("patience")
        await trio.sleep(30)
        inlet.refusing = None
        await until(lambda: _texts(inlet) == ["patience"])


async def a_lost_answer_is_not_a_lost_message(make: MakePlatform) -> None:
    """Sent and not answered: unknown, unless the platform drops repetitions. Never delivered, never not sent; a
    channel that calls itself idempotent sends it again, and it stands there once."""
    async with connected(make) as (platform, channel, _):
        platform.loses_the_next_answer()
        perhaps = delivery(platform.reply("perhaps"), index=0)
        receipt = await channel.deliver(perhaps)
        assert isinstance(receipt, Unknown) or (channel.traits.idempotent and isinstance(receipt, Deferred)), receipt
        if channel.traits.idempotent:
            assert await _outcome(channel, replace(perhaps, attempt=2, repeated=True))
        assert await _outcome(channel, delivery(platform.reply("surely"), index=1))
        assert platform.heard() == ["perhaps", "surely"]


async def a_reply_to_whom_nobody_can_reach_waits(make: MakePlatform) -> None:
    """While the platform is away a reply is deferred, neither lost nor final; once it is back, it arrives."""
    async with connected(make) as (platform, channel, _):
        platform.goes_down()
        await trio.sleep(AWAY)
        made = delivery(platform.reply("patience"))
        receipt = await channel.deliver(made)
        assert isinstance(receipt, Deferred), receipt
        platform.comes_back()
        await trio.sleep(AWAY)
        assert isinstance(await channel.deliver(replace(made, attempt=2)), Delivered)
        assert platform.heard() == ["patience"]


async def stopping_is_quick(make: MakePlatform) -> None:
    """A channel that is stopped is gone within seconds, whatever it was doing; the next one runs as usual."""
    async with make() as platform:
        for _ in range(3):
            inlet = FakeInlet()
            async with running(platform, inlet):
                began = trio.current_time()
            assert trio.current_time() - began <= STOP_SECONDS


PROMISES: tuple[Callable[[MakePlatform], Awaitable[None]], ...] = (
    what_is_said_arrives_in_order,
    a_reply_arrives_as_it_was_written,
    a_break_at_any_moment_loses_nothing_and_repeats_nothing,
    what_was_said_meanwhile_is_caught_up,
    what_is_in_hand_when_it_stops_is_neither_lost_nor_repeated,
    what_the_gateway_cannot_take_yet_is_not_lost,
    a_lost_answer_is_not_a_lost_message,
    a_reply_to_whom_nobody_can_reach_waits,
    stopping_is_quick,
)


@asynccontextmanager
async def connected(make: MakePlatform) -> AsyncIterator[tuple[Any, Any, FakeInlet]]:
    """Yield a platform, a channel that is connected to it, and what the gateway sees."""
    async with make() as platform:
        inlet = FakeInlet()
        async with running(platform, inlet) as channel:
            yield platform, channel, inlet


@asynccontextmanager
async def running(platform: Any, inlet: FakeInlet) -> AsyncIterator[Any]:
    """Run a new channel, as a gateway that was started does; it is stopped when the block is left."""
    channel = platform.channel(bench().kit, inlet)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(LONG):
            await nursery.start(channel.run, inlet)
        yield channel
        nursery.cancel_scope.cancel()


async def until(true: Callable[[], Any]) -> None:
    """Return when something has become true; looks often at first, then seldom."""
    with trio.fail_after(LONG):
        for looks in count():
            if true():
                return
            await trio.sleep(min(5.0, 0.01 * 1.3**looks))


async def _replies(channel: Any, platform: Platform, sent: list[str]) -> None:
    """Send three replies one after another; '' stands for one that nobody knows about."""
    for number in range(3):
        made = delivery(platform.reply(f"reply {number}"), index=number)
        sent.append(made.message.content if await _outcome(channel, made) else "")


async def _outcome(channel: Any, made: Delivery) -> bool:
    """Do as the outbox does; return whether the reply was delivered, False when it waits for a person to look."""
    with trio.fail_after(LONG):
        while True:
            receipt: Receipt = Unknown("The attempt took too long.")
            with trio.move_on_after(_ATTEMPT_SECONDS):
                receipt = await channel.deliver(made)
            match receipt:
                case Delivered():
                    return True
                case Deferred():
                    # The channel wakes the outbox when somebody is there again; looking often stands for that.
                    await trio.sleep(min(receipt.after_seconds or 1.0, 3.0))
                case Unknown() if not channel.traits.idempotent:
                    return False
                case Unknown():
                    await trio.sleep(1.0)
                case Bounced():
                    raise AssertionError(f"a connection that broke is no reason to give up: {receipt}")
                case never:
                    assert_never(never)
            made = replace(made, attempt=made.attempt + 1, repeated=made.repeated or isinstance(receipt, Unknown))


def _texts(inlet: FakeInlet) -> list[str]:
    return [message.content for message in inlet.messages]


def _last_is(inlet: FakeInlet, text: str) -> bool:
    return _texts(inlet)[-1:] == [text]


def _connected_again(inlet: FakeInlet, ups: int) -> bool:
    return inlet.states.count("connected") > ups


def _has(things: list[Any], count: int) -> bool:
    return len(things) >= count


def _in_order(found: list[str], wanted: list[str]) -> bool:
    """Tell whether `found` is `wanted` with or without gaps: nothing else, nothing twice."""
    return found == [each for each in wanted if each in found]
