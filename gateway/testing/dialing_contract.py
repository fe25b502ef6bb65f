"""What every channel must do that dials out and holds a connection: reconnect after whatever ends it, lose nothing it
was given, say nothing twice.

    class MyPlatform: ...   # a fake of the platform, which does as the test says (see `Platform`)

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    async def test_it_holds_its_connection(promise, autojump_clock):
        await promise(MyPlatform)

Written for a mocked clock: pauses of minutes take no time, so the fake talks through memory and not through sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Literal, Protocol

import trio

from gateway.channels.shared.reconnect import LINGER_SECONDS
from gateway.errors import SettingError
from gateway.message.message import Message
from gateway.message.receipt import Deferred, Delivered, Unknown
from gateway.ports import Kit, Refused
from gateway.testing.channels import FakeInlet, bench, delivery

Break = Literal["closed", "reset", "silent", "sent away"]
BREAKS: tuple[Break, ...] = ("closed", "reset", "silent", "sent away")
# Longer than any pause between connections and any silence that a channel bears, on the mocked clock.
_LONG = 3600.0


class Platform(Protocol):
    """A fake of the platform, made anew for each promise and open while its block runs."""

    def channel(self, kit: Kit) -> Any:
        """Make the channel under test, configured for this platform."""

    def reply(self, text: str) -> Message:
        """Make a reply to the person who talks here."""

    async def says(self, text: str) -> None:
        """Let a person say something to the channel, once it is connected."""

    async def breaks(self, how: Break) -> None:
        """End the connection so: in order, by a reset, by silence with the socket open, or with a word of farewell."""

    def goes_down(self) -> None:
        """Take no connection from now on."""

    def comes_back(self) -> None:
        """Take connections again."""

    def wants_other_credentials(self) -> None:
        """Refuse what the channel says who it is."""

    def loses_the_next_answer(self) -> None:
        """Take the next message of the channel, and break the connection instead of answering."""

    def heard(self) -> list[str]:
        """Return the texts that the channel said, in order."""


MakePlatform = Callable[[], AbstractAsyncContextManager[Platform]]


async def what_is_said_arrives_in_order(make: MakePlatform) -> None:
    """Everything once, in the order in which it was said."""
    async with _connected(make) as (platform, _, inlet):
        for number in range(20):
            await platform.says(f"word {number}")
        await _until(lambda: len(inlet.messages) == 20)
        assert [message.content for message in inlet.messages] == [f"word {number}" for number in range(20)]
        keys = {message.dedupe_key for message in inlet.messages}
        assert len(keys) == 20 and "" not in keys


async def a_reply_arrives_as_it_was_written(make: MakePlatform) -> None:
    """Delivered means that the platform has it."""
    async with _connected(make) as (platform, channel, _):
        for text in ("first", "second: é 漢字 🎉"):
            assert isinstance(await channel.deliver(delivery(platform.reply(text))), Delivered)
        assert platform.heard() == ["first", "second: é 漢字 🎉"]


async def whatever_ends_the_connection_there_is_another_one(make: MakePlatform) -> None:
    """Each kind of disconnect: status says so, replies are woken, and what is said afterwards arrives."""
    for how in BREAKS:
        async with _connected(make) as (platform, channel, inlet):
            for round_ in range(3):
                ups = inlet.states.count("connected")
                await platform.breaks(how)
                await _until(partial(_more_than, inlet.states, ups))
                await platform.says(f"after {round_}")
                await _until(partial(_last_is, inlet, f"after {round_}"))
            assert isinstance(await channel.deliver(delivery(platform.reply("back"))), Delivered)
            assert inlet.states.count("disconnected") >= 3 and len(inlet.woken) >= 4


async def a_platform_that_is_down_is_no_crash(make: MakePlatform) -> None:
    """Down at the start, for an hour: status says so, and the channel is there when the platform is."""
    async with make() as platform:
        platform.goes_down()
        channel, inlet = platform.channel(bench().kit), FakeInlet()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.run, inlet)
            await trio.sleep(_LONG)
            assert set(inlet.states) == {"disconnected"}
            receipt = await channel.deliver(delivery(platform.reply("x")))
            assert isinstance(receipt, Deferred) and receipt.offline, "an attempt that could not be made is not counted"
            platform.comes_back()
            await _until(lambda: inlet.states[-1] == "connected")
            assert inlet.woken, "replies that waited are woken"
            assert isinstance(await channel.deliver(delivery(platform.reply("y"))), Delivered)
            nursery.cancel_scope.cancel()


async def wrong_credentials_are_a_setting(make: MakePlatform) -> None:
    """Nobody knocks for ever with a wrong password: the channel ends with the setting's name."""
    async with make() as platform:
        platform.wants_other_credentials()
        with trio.fail_after(_LONG):
            try:
                await platform.channel(bench().kit).run(FakeInlet())
            except SettingError as error:
                assert error.place and error.wanted
            else:
                raise AssertionError("credentials that are refused were taken")


async def a_lost_answer_is_not_a_lost_message(make: MakePlatform) -> None:
    """Sent and not answered: unknown, unless the platform drops repetitions. Never delivered, never not sent."""
    async with _connected(make) as (platform, channel, inlet):
        platform.loses_the_next_answer()
        receipt = await channel.deliver(delivery(platform.reply("perhaps")))
        assert isinstance(receipt, Unknown) or (channel.traits.idempotent and isinstance(receipt, Deferred)), receipt
        await _until(lambda: inlet.states[-1] == "connected" and inlet.states.count("connected") > 1)
        assert isinstance(await channel.deliver(delivery(platform.reply("surely"))), Delivered)
        assert platform.heard() == ["perhaps", "surely"]


async def what_the_gateway_cannot_take_yet_is_not_lost(make: MakePlatform) -> None:
    """A journal that cannot write for a while: what was read is offered again, or read again."""
    async with _connected(make) as (platform, _, inlet):
        inlet.refusing = Refused("journal", 5.0)
        await platform.says("patience")
        await trio.sleep(30)
        inlet.refusing = None
        await _until(lambda: [message.content for message in inlet.messages] == ["patience"])


async def stopping_is_quick(make: MakePlatform) -> None:
    """A channel that is stopped is gone within seconds, whatever it was doing; the next one connects as usual."""
    async with make() as platform:
        for _ in range(3):
            channel, inlet = platform.channel(bench().kit), FakeInlet()
            async with trio.open_nursery() as nursery:
                await nursery.start(channel.run, inlet)
                began = trio.current_time()
                nursery.cancel_scope.cancel()
            assert trio.current_time() - began <= LINGER_SECONDS


PROMISES: tuple[Callable[[MakePlatform], Awaitable[None]], ...] = (
    what_is_said_arrives_in_order,
    a_reply_arrives_as_it_was_written,
    whatever_ends_the_connection_there_is_another_one,
    a_platform_that_is_down_is_no_crash,
    wrong_credentials_are_a_setting,
    a_lost_answer_is_not_a_lost_message,
    what_the_gateway_cannot_take_yet_is_not_lost,
    stopping_is_quick,
)


@asynccontextmanager
async def _connected(make: MakePlatform) -> AsyncIterator[tuple[Platform, Any, FakeInlet]]:
    async with make() as platform:
        channel, inlet = platform.channel(bench().kit), FakeInlet()
        async with trio.open_nursery() as nursery:
            with trio.fail_after(_LONG):
                await nursery.start(channel.run, inlet)
            yield platform, channel, inlet
            nursery.cancel_scope.cancel()


async def _until(true: Callable[[], Any]) -> None:
    with trio.fail_after(_LONG):
        while not true():  # noqa: ASYNC110  # the fake has no event for everything that is asked about
            await trio.sleep(0.1)


def _more_than(states: list[str], ups: int) -> bool:
    return states.count("connected") > ups


def _last_is(inlet: FakeInlet, text: str) -> bool:
    return bool(inlet.messages) and inlet.messages[-1].content == text
