"""The engine that holds a connection, and the pulse that tells a dead one."""

from __future__ import annotations

import pytest
import trio

from gateway.channels.shared.backoff import Backoff, pause
from gateway.channels.shared.errors import ConnectionLost
from gateway.channels.shared.pulse import Pulse
from gateway.channels.shared.reconnect import LINGER_SECONDS, keep_connected, offline
from gateway.errors import SettingError
from gateway.testing.channels import FakeInlet


class Platform:
    """Sessions written by the test, and when each of them began."""

    def __init__(self, *sessions):
        self.sessions, self.began = list(sessions), []
        self.inlet = FakeInlet()

    async def session(self, link):
        self.began.append(trio.current_time())
        act = self.sessions.pop(0) if self.sessions else stay
        await act(link)

    async def run(self, task_status=trio.TASK_STATUS_IGNORED):
        await keep_connected(self.session, self.inlet, task_status=task_status, spread=lambda: 1.0)


async def stay(link):
    link.up("as bot")
    await trio.sleep_forever()


def fails(error):
    async def session(link):
        await trio.lowlevel.checkpoint()
        raise error

    return session


async def breaks_within_a_nursery(link):
    link.up()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(fails(trio.BrokenResourceError("reset")), link)


LOST = (
    OSError("refused"),
    ConnectionLost("kicked"),
    trio.BrokenResourceError("x"),
    ExceptionGroup("g", [OSError("y")]),
)


@pytest.mark.parametrize("error", LOST, ids=repr)
async def test_a_platform_that_is_down_is_tried_again_with_growing_pauses(error, autojump_clock, nursery):
    platform = Platform(*[fails(error)] * 4)
    await nursery.start(platform.run)
    assert platform.began == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert platform.inlet.states == ["disconnected"] * 4 + ["connected"]
    assert platform.inlet.woken == [None], "replies that waited are woken when the platform is back"


async def test_a_break_inside_a_nursery_is_a_break_like_any_other(autojump_clock, nursery):
    platform = Platform(breaks_within_a_nursery)
    await nursery.start(platform.run)
    await trio.sleep(2)
    assert platform.inlet.states == ["connected", "disconnected", "connected"]


async def test_what_the_platform_asks_for_is_waited(autojump_clock, nursery):
    platform = Platform(fails(ConnectionLost("throttled", after_seconds=90.0)))
    await nursery.start(platform.run)
    assert platform.began == [0.0, 90.0]


async def test_a_stable_connection_clears_the_past(autojump_clock, nursery):
    async def an_hour(link):
        link.up()
        await trio.sleep(3600)

    platform = Platform(*[fails(OSError("no"))] * 3, an_hour)
    await nursery.start(platform.run)
    await trio.sleep(3700)
    assert platform.began[-1] - platform.began[-2] == 3601


@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: ExceptionGroup("g", [error])])
async def test_bad_credentials_end_the_channel(wrap):
    error = SettingError("password", found="refused", wanted="right")
    with pytest.raises(SettingError):
        await Platform(fails(wrap(error))).run()


async def test_a_bug_is_a_crash():
    with pytest.RaisesGroup(ZeroDivisionError):
        await Platform(fails(ZeroDivisionError())).run()


async def test_a_session_may_be_relieved_by_the_next_while_it_still_works(autojump_clock, nursery):
    ended = []

    async def refreshed(link):
        link.up()
        await trio.sleep(5)
        link.relieve()
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    platform = Platform(refreshed)
    await nursery.start(platform.run)
    await trio.sleep(60)
    assert platform.began == [0.0, 5.0]
    assert ended == [5.0 + LINGER_SECONDS]
    assert "disconnected" not in platform.inlet.states


async def test_a_session_that_ends_before_it_is_relieved_is_missed_at_once(autojump_clock, nursery):
    async def refreshed(link):
        link.up()
        link.relieve()
        await trio.sleep(5)

    platform = Platform(refreshed, *[fails(OSError("refused"))] * 4)
    await nursery.start(platform.run)
    await trio.sleep(4)
    assert platform.inlet.states == ["connected"], "it still works"
    await trio.sleep(2)
    assert platform.inlet.states[:2] == ["connected", "disconnected"]
    await trio.sleep(60)
    assert platform.inlet.states[-1] == "connected"


async def test_a_silent_connection_is_asked_and_then_given_up(autojump_clock):
    asked = []

    async def ask():
        asked.append(trio.current_time())

    pulse = Pulse(30, 10)
    with pytest.raises(ConnectionLost, match="silent for 40 s"):
        await pulse.watch(ask)
    assert (asked, trio.current_time()) == ([30.0], 40.0)


@pytest.mark.parametrize("moment", [0.1, 2.3, 2.8, 1000.1])
async def test_silence_is_noticed_at_any_moment_however_it_rounds(moment, autojump_clock):
    await trio.sleep_until(moment)
    with pytest.raises(ConnectionLost):
        await Pulse(30, 10).watch(trio.lowlevel.checkpoint)
    assert trio.current_time() == moment + 30 + 10


async def test_a_connection_that_speaks_is_not_asked(autojump_clock, nursery):
    pulse = Pulse(30, 10)
    nursery.start_soon(pulse.watch, lambda: pytest.fail("asked"))
    for _ in range(20):
        await trio.sleep(29)
        pulse.heard()
    nursery.cancel_scope.cancel()


def test_pauses_are_capped_and_spread():
    backoff = Backoff()
    assert pause(backoff, 1, 0.0) == 0.5
    assert pause(backoff, 40, 1.0) == 300.0
    assert pause(backoff, 1, 0.0, asked=60.0) == 60.0


def test_a_reply_without_a_connection_waits_uncounted():
    assert offline("IRC").offline
