"""The tree on a mocked clock: a crash is waited out, a wrong setting is final, neighbours never notice."""

from __future__ import annotations

import asyncio

import pytest
import trio
import trio.testing

from gateway.errors import SettingError
from gateway.notices import ChildChanged, ChildCrashed, ChildDisconnected
from gateway.supervise import Policy, open_supervisor

POLICY = Policy(first_pause_seconds=1, longest_pause_seconds=8, crashes=4, within_seconds=100, healthy_seconds=50)


class Book:
    """Keeps every notice with the moment it came."""

    def __init__(self):
        self.pages = []

    def __call__(self, notice):
        self.pages.append((trio.current_time(), notice))

    def crashes(self):
        return [(at, notice.again_in_seconds) for at, notice in self.pages if isinstance(notice, ChildCrashed)]

    def states(self):
        return [notice.state for _, notice in self.pages if isinstance(notice, ChildChanged)]

    def warnings(self):
        return [(at, notice.why) for at, notice in self.pages if isinstance(notice, ChildDisconnected)]


@pytest.fixture
def book():
    return Book()


def tree_of(book):
    return open_supervisor(book, trio.current_time, spread=lambda: 1.0)


async def serve(status):
    status.started()
    await trio.sleep_forever()


async def test_start_returns_when_the_child_is_ready(book, autojump_clock):
    async def slow(status):
        await trio.sleep(3)
        status.started()
        await trio.sleep_forever()

    async with tree_of(book) as tree:
        state = await tree.start("slow", slow)
        assert (state.state, state.since, trio.current_time()) == ("ready", 3.0, 3.0)
    assert book.states() == ["starting", "ready", "stopped"]


async def test_a_crash_is_waited_out_and_the_neighbour_serves_on(book, autojump_clock):
    runs = []

    async def flaky(status):
        runs.append(trio.current_time())
        if len(runs) < 3:
            raise OSError("no route")
        await serve(status)

    async with tree_of(book) as tree:
        await tree.start("good", serve)
        first = await tree.start("flaky", flaky, POLICY)
        assert (first.state, first.again_at) == ("waiting", 1.0)
        assert first.last_error.startswith("OSError: no route [supervise/test_tree.py:")
        await trio.sleep(5)
        assert runs == [0.0, 1.0, 3.0]
        now = tree.child("flaky")
        assert (now.state, now.restarts, now.since) == ("ready", 2, 3.0)
        assert tree.child("good").since == 0.0
    assert book.crashes() == [(0.0, 1.0), (1.0, 2.0)]


class Speechless(Exception):
    """As the exceptions of some libraries are when they are given no text."""

    def __str__(self):
        return self.args[0]


async def test_a_crash_that_cannot_say_what_it_is_harms_nobody_else(book, autojump_clock):
    async def flaky(status):
        raise Speechless(5)

    async with tree_of(book) as tree:
        await tree.start("good", serve)
        state = await tree.start("flaky", flaky, POLICY)
        assert (state.state, state.last_error.partition(" ")[0]) == ("waiting", "Speechless")
        assert tree.child("good").state == "ready"


async def test_a_child_that_keeps_crashing_is_given_up_and_the_rest_serve(book, autojump_clock):
    async def broken(status):
        status.started()
        raise RuntimeError("bug")

    async with tree_of(book) as tree:
        await tree.start("good", serve)
        await tree.start("broken", broken, POLICY)
        await trio.sleep(1000)
        assert [child.state for child in tree.children()] == ["ready", "failed"]
        assert tree.child("broken").why == "it crashed 4 times within 7 s"
    assert [again for _, again in book.crashes()] == [1.0, 2.0, 4.0, -1.0]


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError("let out by asyncio.run")], ids=repr)
@pytest.mark.parametrize("nested", [False, True], ids=["plain", "in a nursery"])
async def test_a_child_that_ends_the_program_ends_itself_alone(nested, error, book, autojump_clock):
    async def leaves(status):
        if not nested:
            raise error
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise error

    async with tree_of(book) as tree:
        await tree.start("good", serve)
        first = await tree.start("leaves", leaves, POLICY)
        assert first.state == "waiting"
        assert first.last_error.startswith(f"{type(error).__name__}: {error} ")
        await trio.sleep(1000)
        assert [child.state for child in tree.children()] == ["ready", "failed"]
    assert book.crashes()[0] == (0.0, 1.0)


async def test_a_healthy_period_starts_the_pauses_anew(book, autojump_clock):
    async def tired(status):
        status.started()
        await trio.sleep(60)
        raise RuntimeError("tired")

    async with tree_of(book) as tree:
        await tree.start("tired", tired, POLICY)
        await trio.sleep(1000)
        assert {again for _, again in book.crashes()} == {1.0}
        assert tree.child("tired").restarts > 10


async def test_a_wrong_setting_fails_at_once_even_inside_a_nursery(book, autojump_clock):
    async def misconfigured(status):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise SettingError("channels.irc.password", found="refused by the server", wanted="the account's password")

    async with tree_of(book) as tree:
        state = await tree.start("irc", misconfigured, POLICY)
        assert state.state == "failed"
        assert state.last_error.startswith("SettingError: channels.irc.password is refused by the server")
    assert book.crashes() == [(0.0, -1.0)]


async def test_a_platform_that_is_down_is_no_crash(book, autojump_clock):
    async def dials(status):
        tree.connected("dials", "disconnected", "connection refused")
        await trio.sleep(5000)
        tree.connected("dials", "ready")
        await trio.sleep_forever()

    async with tree_of(book) as tree:
        state = await tree.start("dials", dials, POLICY)
        assert (state.state, state.why) == ("disconnected", "connection refused")
        await trio.sleep(5001)
        assert (tree.child("dials").state, tree.child("dials").restarts) == ("ready", 0)
    assert book.crashes() == []


async def test_what_a_child_says_of_its_connection_is_a_text_that_can_be_read(book, autojump_clock):
    async with tree_of(book) as tree:
        await tree.start("dials", serve)
        for state in ("ready", "disconnected"):
            tree.connected("dials", state, OSError("no route"))
            assert tree.child("dials").why == "no route"
        tree.connected("dials", "disconnected", "a page of HTML, " * 100_000)
        assert len(tree.child("dials").why) < 10_000


async def test_being_ready_does_not_hide_that_the_platform_is_down(book, autojump_clock):
    async def dials(status):
        tree.connected("dials", "throttled", "slow down")
        status.started()
        await trio.sleep_forever()

    async with tree_of(book) as tree:
        state = await tree.start("dials", dials)
        assert (state.state, state.why) == ("disconnected", "throttled: slow down")


async def test_returning_is_a_crash_unless_the_child_may_end(book, autojump_clock):
    async def once(status):
        status.started()

    async with tree_of(book) as tree:
        await tree.start("once", once, Policy(permanent=False))
        await tree.start("for ever", once, Policy(crashes=1))
        await trio.testing.wait_all_tasks_blocked()
        assert [child.state for child in tree.children()] == ["stopped", "failed"]
        assert "it returned" in tree.child("for ever").last_error


async def test_stop_waits_for_the_childs_cleanup_and_another_start_begins_with_a_clean_slate(book, autojump_clock):
    ends = []

    async def tidy(status):
        status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(5, shield=True):
                await trio.sleep(2)
            ends.append(trio.current_time())

    async with tree_of(book) as tree:
        await tree.start("tidy", tidy)
        with pytest.raises(ValueError, match="runs already"):
            await tree.start("tidy", tidy)
        assert (await tree.stop("tidy")).state == "stopped"
        assert ends == [2.0]
        state = await tree.start("tidy", tidy)
        assert (state.state, state.restarts) == ("ready", 0)
        await tree.remove("tidy")
        assert tree.children() == ()
    assert ends == [2.0, 4.0]


async def test_a_child_stopped_while_it_waits_stays_down(book, autojump_clock):
    async def broken(status):
        raise RuntimeError("bug")

    async with tree_of(book) as tree:
        await tree.start("broken", broken, POLICY)
        assert (await tree.stop("broken")).state == "stopped"
        await trio.sleep(100)
        assert len(book.crashes()) == 1


async def test_a_caller_that_stops_waiting_leaves_the_child_starting(book, autojump_clock):
    async def slow(status):
        await trio.sleep(10)
        await serve(status)

    async with tree_of(book) as tree:
        with trio.move_on_after(2):
            await tree.start("slow", slow)
        assert tree.child("slow").state == "starting"
        await trio.sleep(9)
        assert tree.child("slow").state == "ready"


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "in a nursery"])
async def test_an_error_while_being_stopped_is_kept_and_is_no_crash(nested, book, autojump_clock):
    async def falls():
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("socket already closed")

    async def clumsy(status):
        status.started()
        if not nested:
            await falls()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(falls)
            nursery.start_soon(trio.sleep_forever)

    async with tree_of(book) as tree:
        await tree.start("clumsy", clumsy)
        state = await tree.stop("clumsy")
        assert (state.state, state.last_error[:31]) == ("stopped", "OSError: socket already closed ")
    assert book.crashes() == []


async def test_a_lost_platform_is_a_warning_at_once_and_seldom_while_it_lasts_or_flaps(book, autojump_clock):
    async with tree_of(book) as tree:
        await tree.start("irc", serve)
        for second in range(1300):
            tree.connected("irc", "disconnected", f"refused; try {second}")
            await trio.sleep(1)
        assert book.warnings() == [(at, f"refused; try {at:.0f}") for at in (0.0, 600.0, 1200.0)]
        tree.connected("irc", "connected")
        assert book.states()[-1] == "ready"
        for _ in range(510):
            tree.connected("irc", "disconnected", "reset")
            tree.connected("irc", "connected")
            await trio.sleep(1)
        assert [at for at, _ in book.warnings()[3:]] == [1800.0]
        await trio.sleep(600)
        tree.connected("irc", "disconnected", "reset")
        assert [at for at, _ in book.warnings()[4:]] == [2410.0]
