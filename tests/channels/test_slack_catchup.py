"""What was said in Slack while no connection stood is heard when one stands: once, in order, and within bounds."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest
import trio
from msgspec.structs import replace

from gateway.channels.shared.pace import Pace, Rate
from gateway.channels.slack_api import WebApi
from gateway.channels.slack_catchup import CatchUp
from gateway.channels.slack_files import Turns
from gateway.message.message import Conversation
from gateway.notices import EnvelopeRefused
from gateway.testing.channels import MOMENT, FakeInlet, answered, bench
from tests.channels.slack_words import ROOM, callback, channel, post, said
from tests.channels.test_slack_socket import running
from tests.support.slack_stub import SlackStub


def at(seconds, text, **fields):
    """Something said so long after the first words."""
    return post(text, ts=f"{MOMENT + seconds:.6f}", **fields)


@asynccontextmanager
async def heard_once(stub, inlet):
    """A stub whose channel has heard "first" in an earlier life."""
    async with running(stub, inlet):
        stub.tell(callback(at(0, "first")))
        await stub.until(lambda: stub.frames)
    stub.stands(at(0, "first"))
    await stub.until(lambda: not stub.sockets)
    yield


def words(inlet):
    return [message.content for message in inlet.messages]


async def test_what_was_said_while_the_gateway_was_down_is_heard_once_and_in_order():
    inlet = FakeInlet()
    async with SlackStub().open() as stub, heard_once(stub, inlet):
        stub.stands(at(20, "and a thread below", thread_ts=f"{MOMENT:.6f}"))
        stub.stands(at(10, "second"))
        stub.stands(at(15, "<@U0BOT00001> to you"))
        stub.stands(at(12, "alone with you", channel="D0ANN00001"))
        async with running(stub, inlet):
            await stub.until(lambda: len(inlet.messages) == 5)
    assert words(inlet) == ["first", "alone with you", "second", "to you", "and a thread below"]
    kinds = {message.content: (message.conversation.kind, message.mentions_me) for message in inlet.messages}
    assert kinds["to you"] == ("channel", True) and kinds["alone with you"] == ("direct", False)
    assert inlet.messages[-1].conversation.thread == f"{MOMENT:.6f}"


async def test_what_was_said_while_the_connection_was_lost_is_heard_too():
    inlet = FakeInlet()
    async with SlackStub().open() as stub, running(stub, inlet):
        stub.tell(callback(at(0, "first")))
        await stub.until(lambda: stub.frames)
        stub.stands(at(10, "second"))
        stub.sockets[0].abort()
        await stub.until(lambda: len(inlet.messages) == 2)
    assert words(inlet) == ["first", "second"]


async def test_who_speaks_in_a_conversation_that_is_not_read_yet_is_heard_after_what_was_missed_there():
    inlet = FakeInlet()
    async with SlackStub().open() as stub, heard_once(stub, inlet):
        stub.stands(at(10, "second"))
        stub.will("users.conversations", {"ok": False, "error": "internal_error"})
        async with running(stub, inlet):
            stub.tell(callback(at(20, "third")))
            await stub.until(lambda: len(inlet.messages) == 3)
    assert words(inlet) == ["first", "second", "third"]


async def test_the_first_start_reads_nothing_back():
    inlet = FakeInlet()
    async with SlackStub().open() as stub, running(stub, inlet):
        stub.stands(at(-10, "long before"))
        stub.tell(callback(at(0, "first")))
        await stub.until(lambda: stub.frames)
        assert {method for method, _ in stub.calls} == {"apps.connections.open", "auth.test"}
    assert words(inlet) == ["first"]


async def test_what_another_program_of_the_app_was_told_of_is_left_to_it():
    inlet = FakeInlet()
    async with SlackStub().open() as stub, running(stub, FakeInlet()):
        stub.stands(at(10, "for the other one"))
        inlet.cursors["heard"] = f"{MOMENT:.6f}"
        async with running(stub, inlet):
            assert len(stub.sockets) == 2
            stub.tell(callback(at(20, "for this one")))
            await stub.until(lambda: stub.frames)
            assert "users.conversations" not in {method for method, _ in stub.calls}
    assert words(inlet) == ["for this one"]


async def test_an_app_without_the_scopes_is_told_of_once_and_goes_on():
    inlet, notices = FakeInlet(), []
    inlet.cursors["heard"] = f"{MOMENT:.6f}"
    lacking = {"ok": False, "error": "missing_scope", "needed": "im:read"}
    async with SlackStub().open() as stub:
        stub.will("users.conversations", lacking, lacking, lacking, lacking)
        async with running(stub, inlet, report=notices.append):
            await stub.until(lambda: [method for method, _ in stub.calls].count("users.conversations") == 2)
            stub.sockets[0].abort()
            await stub.until(lambda: [method for method, _ in stub.calls].count("users.conversations") == 4)
            stub.tell(callback(at(20, "hello")))
            await stub.until(lambda: inlet.messages)
    (told,) = [each for each in notices if isinstance(each, EnvelopeRefused)]
    assert told.reason == "missed" and "users.conversations says missing_scope; give the app im:read" in told.detail


# -- the parts, on a mocked clock ----------------------------------------------------------------------------------

NONE = said({"ok": True, "channels": []})
ROOMS = (NONE, said({"ok": True, "channels": [{"id": ROOM}]}))
PAGE = said({"ok": True, "messages": [{"ts": f"{MOMENT - 5:.6f}", "user": "U1", "text": "missed"}]})


class Desk:
    """A catch-up that heard something a minute ago, and what it did."""

    def __init__(self, *answers):
        self.table = bench(*answers)
        self.taken, self.takes, known = [], True, trio.Event()
        known.set()
        kit = replace(self.table.kit)
        self.it = CatchUp(
            channel(kit)._entrance,
            WebApi(kit, "http://slack/api/", "xoxb"),
            Pace(all=Rate(1.2, 20)),
            Turns(),
            known=known,
            report=kit.report,
            now=kit.now,
        )
        self.it.restore(f"{MOMENT - 60:.6f}")
        self.it.doubt()

    async def take(self, message):
        await trio.lowlevel.checkpoint()
        self.taken += [message.content] if self.takes else []
        return self.takes

    async def works(self, seconds):
        with trio.move_on_after(seconds):
            await self.it.run(self.take)

    @property
    def asked(self):
        return [each.url.rpartition("/")[2] for each in self.table.http.sent]

    @property
    def told(self):
        return [each.detail for each in self.table.notices if isinstance(each, EnvelopeRefused)]


async def test_a_conversation_that_does_not_answer_is_asked_again_and_after_three_times_given_up(autojump_clock):
    broken = answered(500)
    desk = Desk(*ROOMS, broken, *ROOMS, PAGE)
    await desk.works(100)
    assert (desk.taken, desk.told) == (["missed"], [])
    desk = Desk(*(*ROOMS, broken) * 3, NONE)
    await desk.works(1000)
    assert desk.asked.count("conversations.history") == 3
    assert desk.told == [f"What was said in {ROOM} while no connection stood cannot be read."]


async def test_while_slack_is_away_nothing_is_given_up(autojump_clock):
    desk = Desk(*[answered(503)] * 50, *ROOMS, PAGE)
    await desk.works(3600)
    assert (desk.taken, desk.told) == (["missed"], [])


async def test_what_the_gateway_has_no_room_for_is_read_again(autojump_clock):
    desk = Desk(*ROOMS, PAGE, *ROOMS, PAGE, NONE)
    desk.takes = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.works, 100)
        await trio.sleep(10)
        desk.takes = True
    assert desk.taken == ["missed"]


async def test_a_rate_limit_is_obeyed_and_the_next_conversation_waits_for_it(autojump_clock):
    slower = said({"ok": False, "error": "ratelimited"}, status=429, Retry_After="60")
    desk = Desk(*ROOMS, slower, *ROOMS, PAGE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.works, 200)
        await trio.sleep(59)
        assert len(desk.asked) == 3
    assert desk.taken == ["missed"]


async def test_of_a_conversation_in_which_more_was_missed_the_last_messages_are_heard_and_the_others_told_of():
    posts = [{"ts": f"{MOMENT - number / 100:.6f}", "user": "U1", "text": str(number)} for number in range(200)]
    desk = Desk(*ROOMS, said({"ok": True, "messages": posts, "has_more": True}))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.it.run, desk.take)
            while len(desk.taken) < 200:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert desk.taken == [str(number) for number in reversed(range(200))]
    (told,) = desk.told
    assert told.startswith(f"In {ROOM} more was missed than is read back")


async def test_pages_of_conversations_are_turned_until_there_are_enough(autojump_clock):
    pages = [
        said({"ok": True, "channels": [{"id": f"D{at}"}], "response_metadata": {"next_cursor": str(at)}})
        for at in range(100)
    ]
    desk = Desk(*pages, *ROOMS[1:], said({"ok": True, "messages": []}))
    await desk.works(1000)
    assert desk.asked.count("conversations.history") == 101
    assert desk.told == ["The first 100 conversations of the kind im are read back, and no more."]


async def test_what_is_older_than_a_ts_is_remembered_is_not_read_back(autojump_clock):
    old = [{"ts": f"{MOMENT - 21 * 3600:.6f}", "user": "U1", "text": "yesterday", "latest_reply": f"{MOMENT - 9:.6f}"}]
    below = [*old, {"ts": f"{MOMENT - 9:.6f}", "thread_ts": old[0]["ts"], "user": "U1", "text": "just now"}]
    desk = Desk(*ROOMS, said({"ok": True, "messages": old}), said({"ok": True, "messages": below}))
    desk.it._heard, desk.it._gap = MOMENT - 86_400, None
    desk.it.doubt()
    await desk.works(10)
    assert desk.taken == ["just now"]
    asked = {key: values[0] for key, values in parse_qs(desk.table.http.sent[3].body.decode()).items()}
    assert asked["oldest"] == f"{MOMENT - 20 * 3600:.6f}"


async def test_the_last_moment_is_committed_every_few_seconds_and_not_before_all_is_read(autojump_clock):
    it = channel(bench().kit)
    entrance, catch_up = it._entrance, it._catch_up
    messages = [entrance.event(callback(at(seconds, "x"))) for seconds in (0, 3, 6, 20)]
    assert [getattr(catch_up.cursor(each), "value", "") for each in messages[:3]] == [
        f"{MOMENT:.6f}", "", f"{MOMENT + 6:.6f}",
    ]  # fmt: skip
    catch_up.heard(messages[2])
    catch_up.doubt()
    assert catch_up.cursor(messages[3]) is None


async def test_a_person_in_the_place_of_a_conversation_is_nothing_to_read():
    desk = Desk()
    await desk.it.before(Conversation("U0ANN00001", "direct"), desk.take)
    assert desk.table.http.sent == []


@pytest.mark.parametrize("room, kind", [({"is_im": True}, "direct"), ({"is_mpim": True}, "group"), ({}, "channel")])
async def test_a_conversation_is_of_the_kind_that_slack_says(room, kind, autojump_clock):
    desk = Desk(NONE, said({"ok": True, "channels": [{"id": "C1", **room}]}), PAGE)
    kinds = []

    async def take(message):
        await trio.lowlevel.checkpoint()
        kinds.append(message.conversation.kind)
        return True

    with trio.move_on_after(10):
        await desk.it.run(take)
    assert kinds == [kind]
    assert json.dumps(desk.asked) == json.dumps(["users.conversations"] * 2 + ["conversations.history"])
