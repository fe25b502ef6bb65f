"""What a channel must do that connects by itself, besides all that `connection_contract.py` asks of every channel.

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    async def test_it_holds_its_connection(promise, autojump_clock):
        await promise(MyPlatform)

`PROMISES` are both: status is honest, a platform that is down is no crash, a wrong password is a setting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import trio

from gateway.errors import SettingError
from gateway.message.receipt import Deferred, Delivered
from gateway.testing import connection_contract
from gateway.testing.channels import FakeInlet, bench, delivery
from gateway.testing.connection_contract import AWAY, BREAKS, LONG, Break, MakePlatform, Platform, connected, until

__all__ = ("BREAKS", "PROMISES", "Break", "DialingPlatform", "Platform")


class DialingPlatform(Platform, Protocol):
    """A platform that the channel connects to."""

    def wants_other_credentials(self) -> None:
        """Refuse what the channel says who it is."""


async def whatever_ends_the_connection_there_is_another_one(make: MakePlatform) -> None:
    """Each kind of disconnect: status says so, replies are woken, and what is said afterwards arrives. A platform that
    says farewell may be left for another connection before it ends; then nobody is told of a gap."""
    for how in BREAKS:
        async with connected(make) as (platform, channel, inlet):
            for round_ in range(3):
                ups = inlet.states.count("connected")
                await platform.breaks(how)
                await until(partial(_more_than, inlet.states, ups))
                await platform.says(f"after {round_}")
                await until(partial(_last_is, inlet, f"after {round_}"))
            assert isinstance(await channel.deliver(delivery(platform.reply("back"))), Delivered)
            assert inlet.states.count("disconnected") >= (0 if how == "sent away" else 3)
            assert len(inlet.woken) >= 4


async def a_platform_that_is_down_is_no_crash(make: MakePlatform) -> None:
    """Down at the start, for minutes: status says so, and the channel is there when the platform is."""
    async with make() as platform:
        platform.goes_down()
        inlet = FakeInlet()
        channel = platform.channel(bench().kit, inlet)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.run, inlet)
            await trio.sleep(AWAY)
            assert set(inlet.states) == {"disconnected"}
            receipt = await channel.deliver(delivery(platform.reply("x")))
            assert isinstance(receipt, Deferred) and receipt.offline, "an attempt that could not be made is not counted"
            platform.comes_back()
            await until(lambda: inlet.states[-1] == "connected")
            assert inlet.woken, "replies that waited are woken"
            assert isinstance(await channel.deliver(delivery(platform.reply("y"))), Delivered)
            nursery.cancel_scope.cancel()


async def wrong_credentials_are_a_setting(make: MakePlatform) -> None:
    """Nobody knocks for ever with a wrong password: the channel ends with the setting's name, alone or in a group."""
    wrong: list[BaseException] = []
    async with make() as platform:
        platform.wants_other_credentials()
        inlet = FakeInlet()
        with trio.fail_after(LONG):
            try:
                await platform.channel(bench().kit, inlet).run(inlet)
            except* SettingError as group:
                wrong += group.exceptions
    assert wrong, "credentials that are refused were taken"


PROMISES: tuple[Callable[[MakePlatform], Awaitable[None]], ...] = (
    *connection_contract.PROMISES,
    whatever_ends_the_connection_there_is_another_one,
    a_platform_that_is_down_is_no_crash,
    wrong_credentials_are_a_setting,
)


def _more_than(states: list[str], ups: int) -> bool:
    return states.count("connected") > ups


def _last_is(inlet: FakeInlet, text: str) -> bool:
    return bool(inlet.messages) and inlet.messages[-1].content == text
