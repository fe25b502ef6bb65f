"""The IRC channel against a server in memory: it holds its connection, and says and hears what it should."""

from __future__ import annotations

import pytest
import trio

from gateway.channels.irc_settings import Settings
from gateway.channels.shared.pace import Pace, Rate
from gateway.config.secret import Secret
from gateway.errors import SettingErrors
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Bounced, Deferred, Delivered
from gateway.ports import Finding, Refused
from gateway.testing.channels import FakeInlet, bench, delivery
from tests.channels.irc_server import irc_server


async def heard(*lines):
    it, inlet = bench(), FakeInlet()
    async with irc_server() as server, trio.open_nursery() as nursery:
        await nursery.start(server.channel(it.kit).run, inlet)
        for line in lines:
            await server.tells(line)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    return inlet.messages, [type(notice).__name__ for notice in it.notices]


async def test_who_said_what_where_and_to_whom(autojump_clock):
    messages, _ = await heard(
        ":Ann!a@h PRIVMSG #Help :oclaw: what is this?",
        ":Ann!a@h PRIVMSG #Help :ask oclaw, he knows",
        ":Ann!a@h PRIVMSG #Help :hello all",
        "@account=ann;time=2026-01-02T03:04:05.000Z;msgid=m1 :Ann!a@h PRIVMSG oclaw :\x01ACTION waves\x01",
    )
    asked, named, other, query = messages
    assert (asked.content, asked.mentions_me, asked.conversation) == (
        "what is this?", True, Conversation("#help", "channel", title="#Help"))  # fmt: skip
    assert (asked.sender.id, asked.sender.name) == ("ann!a@h", "Ann")
    assert (named.content, named.mentions_me, other.mentions_me) == ("ask oclaw, he knows", True, False)
    assert (query.content, query.mentions_me, query.conversation.kind) == ("waves", True, "direct")
    assert (query.sender.id, query.id, query.sent_at, query.metadata["action"]) == (
        "account:ann", "m1", 1767323045.0, True)  # fmt: skip


async def test_a_query_is_with_a_person_and_not_with_a_nick(autojump_clock):
    first, second, known, moved = (await heard(
        ":Ann!a@h PRIVMSG oclaw :my number is 4711",
        ":Ann!eve@elsewhere PRIVMSG oclaw :what was my number?",
        "@account=ann :Ann!a@h PRIVMSG oclaw :hi",
        "@account=ann :Ann_!a@elsewhere PRIVMSG oclaw :back again",
    ))[0]  # fmt: skip
    assert first.conversation == Conversation("ann!a@h", title="Ann")
    assert second.conversation.id != first.conversation.id and known.conversation.id == moved.conversation.id
    async with irc_server() as server, trio.open_nursery() as nursery:
        channel = server.channel(bench().kit)
        await nursery.start(channel.run, FakeInlet())
        for message in (first, moved):
            reply = Message(channel="it", content="hi", conversation=message.conversation)
            assert await channel.deliver(delivery(reply)) == Delivered()
        assert [line.param(0) for line in server.lines if line.command == "PRIVMSG"] == ["Ann", "Ann_"]
        nursery.cancel_scope.cancel()


async def test_what_must_not_be_answered_is_counted(autojump_clock):
    messages, notices = await heard(
        ":Ann!a@h NOTICE oclaw :hi",
        ":oclaw!o@h PRIVMSG oclaw :my own words",
        ":Ann!a@h PRIVMSG oclaw :\x01VERSION\x01",
        "@bot :Robo!r@h PRIVMSG oclaw :hi",
    )
    assert messages == []
    assert notices == ["UnknownEvent", "EventIgnored", "UnknownEvent", "EventIgnored"]


async def test_what_was_said_just_before_the_server_hangs_up_is_kept(autojump_clock):
    messages, _ = await heard(":Ann!a@h PRIVMSG oclaw :wait\r\nERROR :Closing Link (server restarts)")
    assert [message.content for message in messages] == ["wait"]


async def test_while_the_gateway_is_full_the_silence_is_ours_and_the_connection_stays(autojump_clock):
    async with irc_server() as server, trio.open_nursery() as nursery:
        inlet = FakeInlet()
        await nursery.start(server.channel(bench().kit).run, inlet)
        inlet.refusing = Refused("journal", retry_after=5.0)
        await server.tells(":Ann!a@h PRIVMSG oclaw :wait")
        await trio.sleep(600)
        inlet.refusing = None
        await trio.sleep(600)
        assert [message.content for message in inlet.messages] == ["wait"] and inlet.states == ["connected"]
        nursery.cancel_scope.cancel()


async def test_what_the_gateway_had_no_room_for_outlives_its_connection(autojump_clock):
    async with irc_server() as server, trio.open_nursery() as nursery:
        channel, inlet = server.channel(bench().kit), FakeInlet()
        await nursery.start(channel.run, inlet)
        inlet.refusing = Refused("journal", retry_after=5.0)
        await server.tells(":Ann!a@h PRIVMSG oclaw :wait")
        await trio.sleep(1)
        await server.breaks("reset")
        assert not isinstance(await channel.deliver(delivery(server.reply("are you there?"))), Delivered)
        await trio.sleep(600)
        assert inlet.messages == []
        inlet.refusing = None
        await trio.sleep(600)
        assert [message.content for message in inlet.messages] == ["wait"] and inlet.states[-1] == "connected"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("number", ["401", "404", "415", "477", "716"])
async def test_a_line_that_a_server_does_not_pass_on_is_not_delivered(number, autojump_clock):
    async with irc_server() as server, trio.open_nursery() as nursery:
        channel = server.channel(bench().kit)
        await nursery.start(channel.run, FakeInlet())
        obey = server._obey

        async def refusing(line, stream):
            if line.command == "PRIVMSG":
                await server.tells(f":s {number} oclaw Bob :wants none of it")
            await obey(line, stream)

        server._obey = refusing
        reply = Message(channel="it", content="hi", conversation=Conversation("bob"))
        assert await channel.deliver(delivery(reply)) == Bounced(f"The server refused it: wants none of it ({number}).")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("target", ["a,b", "a b", "", ":x", "$*", "a\r\nQUIT"])
async def test_a_target_that_is_none_is_refused_before_anything_is_sent(target, autojump_clock):
    async with irc_server() as server, trio.open_nursery() as nursery:
        channel = server.channel(bench().kit)
        await nursery.start(channel.run, FakeInlet())
        reply = Message(channel="it", content="hi", conversation=Conversation(target))
        assert isinstance(await channel.deliver(delivery(reply)), Bounced)
        assert server.heard() == []
        nursery.cancel_scope.cancel()


async def test_a_reply_waits_while_we_are_put_out_of_its_channel_and_status_says_why(autojump_clock):
    told = []

    class Inlet(FakeInlet):
        def connected(self, state, why=""):
            told.append(f"{state} {why}")

    async with irc_server() as server, trio.open_nursery() as nursery:
        channel = server.channel(bench().kit)
        await nursery.start(channel.run, Inlet())
        reply = Message(channel="it", content="hi", conversation=Conversation("#help", "channel"))
        await server.tells(":op!o@h KICK #help oclaw :enough")
        await trio.sleep(1)
        receipt = await channel.deliver(delivery(reply))
        assert isinstance(receipt, Deferred) and receipt.offline and receipt.why == "Not in #help: kicked: enough."
        await trio.sleep(120)
        assert await channel.deliver(delivery(reply)) == Delivered()
        nursery.cancel_scope.cancel()
    assert told == ["connected as oclaw", "connected as oclaw; not in #help: kicked: enough", "connected as oclaw"]


async def test_many_conversations_share_one_pace_and_none_is_turned_away(autojump_clock):
    async with irc_server() as server, trio.open_nursery() as nursery:
        channel = server.channel(bench().kit)
        channel._pace = Pace(all=Rate(2.0, 4))
        await nursery.start(channel.run, FakeInlet())
        began, receipts = trio.current_time(), []

        async def say(number):
            reply = Message(channel="it", content=f"to {number}", conversation=Conversation(f"nick{number}"))
            receipts.append(await channel.deliver(delivery(reply)))

        async with trio.open_nursery() as speakers:
            for number in range(8):
                speakers.start_soon(say, number)
        assert receipts == [Delivered()] * 8
        assert 8.0 <= trio.current_time() - began < 9.0
        nursery.cancel_scope.cancel()


async def test_the_doctor_tells_each_step(autojump_clock):
    found: list[Finding] = []
    async with irc_server() as server:
        await server.channel(bench().kit).doctor(found.append)
    assert [finding.ok for finding in found] == [True, True, True]
    assert found[1].what == "known as oclaw" and found[2].what == "#help: joined"


@pytest.mark.parametrize(
    "wrong",
    [
        {"nick": "1st"}, {"nick": ""}, {"channels": ("help",)}, {"channels": ("#a b c",)}, {"username": "a b"},
        {"sasl_user": "u"}, {"tls": False, "password": Secret("env:P", "p")},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_named(wrong):
    with pytest.raises(SettingErrors) as caught:
        Settings(**{"host": "irc.example", "nick": "oclaw", **wrong})
    assert all(problem.place and problem.wanted for problem in caught.value.problems)
