"""WebSocket clients: what is acknowledged when, and what somebody who was away gets."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio
import trio.testing
import websockets.sync.client

from gateway.api.channels import door_to
from gateway.channels.websocket import WebSocketChannel
from gateway.channels.websocket_settings import Settings
from gateway.config.secret import Secret
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred, Delivered, Unknown
from gateway.ports import Refused
from gateway.testing.channels import bench, delivery
from tests.channels.house import open_house

BEARER = {"Authorization": "Bearer t0ken"}


def channel(**given: object) -> WebSocketChannel:
    given = {"tokens": {"ada": Secret("env:T", "t0ken")}, **given}
    return WebSocketChannel("it", Settings(**given), bench().kit)  # type: ignore[arg-type]


def reply(text: str = "hi", conversation: str = "ada/main", index: int = 0):
    message = Message(channel="it", content=text, conversation=Conversation(conversation), reply_to="m1")
    made = delivery(message)
    return type(made)(**{**{f: getattr(made, f) for f in made.__struct_fields__}, "id": f"d.{index}"})


async def test_a_message_is_acknowledged_after_its_commit_and_not_before():
    async with open_house(channel()) as house, house.dial(**BEARER) as client:
        await client.hello()
        house.inlet().held = True
        await client.say("message", id="m1", data={"text": "hello"})
        await client.say("ping", id="p1")
        assert (await client.hear())["type"] == "pong"
        assert house.inlet().messages == []
        house.inlet().commit()
        ack = await client.hear()
        assert (ack["type"], ack["id"]) == ("ack", "m1")
        said = house.inlet().messages[0]
        assert (said.content, said.sender.id, said.conversation.id, said.id) == ("hello", "ada", "ada/main", "m1")


@pytest.mark.parametrize(("ts", "sent_at"), [(1.5, 1.5), (-1.0, 0.0), (1e18, 0.0), (1e308, 0.0)])
async def test_a_clock_that_tells_no_moment_of_the_calendar_is_not_believed(ts, sent_at):
    async with open_house(channel()) as house, house.dial(**BEARER) as client:
        await client.hello()
        await client.say("message", id="m1", ts=ts, data={"text": "hello"})
        assert (await client.hear())["type"] == "ack"
        assert house.inlet().messages[0].sent_at == sent_at


async def test_a_message_sent_twice_is_taken_once_and_acknowledged_twice():
    async with open_house(channel()) as house, house.dial(**BEARER) as client:
        await client.hello()
        for _ in range(2):
            await client.say("message", id="m1", data={"text": "hello"})
        first, second = await client.hear(), await client.hear()
        assert first["data"]["id"] == second["data"]["id"]
        assert second["data"]["duplicate"] is True
        assert len(house.inlet().messages) == 1


async def test_a_gateway_that_is_full_says_busy_to_one_message_and_goes_on():
    async with open_house(channel()) as house, house.dial(**BEARER) as client:
        await client.hello()
        house.inlet().refusing = Refused("overloaded", 2.0)
        await client.say("message", id="m1", data={"text": "hello"})
        busy = await client.hear()
        assert (busy["type"], busy["id"], busy["data"]["retry_after"]) == ("busy", "m1", 2.0)
        house.inlet().refusing = None
        await client.say("message", id="m1", data={"text": "hello"})
        assert (await client.hear())["type"] == "ack"


async def test_clients_of_a_channel_that_ends_are_sent_away_and_find_the_next_one():
    async with open_house(channel()) as house, trio.open_nursery() as nursery:
        old = channel()
        old.name, inlet = "old", house.inlet()
        house.doors["old"] = door_to(old, inlet)
        await nursery.start(old.run, inlet)
        async with house.dial("old", **BEARER) as client:
            await client.hello()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await client.end() == 1001


async def test_a_reply_is_delivered_when_the_client_s_socket_took_it():
    it = channel()
    async with open_house(it) as house, house.dial(**BEARER) as client:
        await client.hello()
        receipt = await it.deliver(reply())
        heard = await client.hear()
        assert (heard["type"], heard["id"], heard["data"]) == ("reply", "d.0", {"text": "hi", "in_reply_to": "m1"})
        assert receipt == Delivered(str(heard["seq"]))


async def test_a_client_that_acks_has_a_reply_only_when_it_says_so():
    it = channel()
    async with open_house(it) as house, house.dial(**BEARER) as client, trio.open_nursery() as nursery:
        await client.hello(acks=True)
        receipts = []

        async def deliver():
            receipts.append(await it.deliver(reply()))

        nursery.start_soon(deliver)
        heard = await client.hear()
        await client.say("ping")
        assert (await client.hear())["type"] == "pong"
        assert receipts == []
        await client.say("ack", seq=heard["seq"])
        await client.say("ping")
        await client.hear()
        assert receipts == [Delivered(str(heard["seq"]))]


async def test_a_reply_that_a_connected_client_does_not_take_is_unknown_and_comes_again(autojump_clock):
    it = channel()
    room = it.rooms.enter("ada/main")
    room.lines.add(Silent())
    assert isinstance(await it.deliver(reply()), Unknown)
    room.lines.add(Taking())
    assert isinstance(await it.deliver(reply()), Delivered)


async def test_a_client_that_comes_in_the_moment_in_which_the_last_one_leaves_hears_the_reply():
    it, receipts = channel(), []
    room, leaving = it.rooms.enter("ada/main"), Silent()
    room.join(leaving, None)

    async def deliver():
        receipts.append(await it.deliver(reply()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver)
        await trio.testing.wait_all_tasks_blocked()
        room.leave(leaving)
        room.join(Taking(), None)
    assert isinstance(receipts[0], Delivered)


class Silent:
    """A client that acks and never does."""

    acks = True

    def wants(self, frame):
        return True

    def say(self, frame, sent=None):
        pass


class Taking:
    """A client whose socket takes everything at once."""

    acks = False

    def wants(self, frame):
        return True

    def say(self, frame, sent=None):
        sent()


async def test_a_reply_for_a_client_that_is_away_waits_and_its_return_wakes_it():
    it = channel()
    async with open_house(it) as house:
        assert isinstance(await it.deliver(reply()), Deferred)
        async with house.dial(**BEARER) as client:
            await client.hello()
            assert house.inlet().woken == [Conversation("ada/main")]


async def test_a_client_that_leaves_before_it_acked_gets_the_reply_again_under_the_same_id_and_seq():
    it = channel()
    receipts = []

    async def deliver():
        receipts.append(await it.deliver(reply()))

    async with open_house(it) as house, trio.open_nursery() as nursery:
        async with house.dial(**BEARER) as client:
            await client.hello(acks=True)
            nursery.start_soon(deliver)
            first = await client.hear()
        async with house.dial(**BEARER) as client:
            await client.hello(acks=True, last=first["seq"] - 1)
            assert isinstance(receipts[0], Deferred)
            nursery.start_soon(deliver)
            second = await client.hear()
            assert (second["id"], second["seq"]) == (first["id"], first["seq"])
            await client.say("ack", seq=second["seq"])
    assert receipts[1] == Delivered(str(first["seq"]))


async def test_a_client_that_returns_hears_what_it_missed_since_its_last_seq():
    it = channel()
    async with open_house(it) as house, house.dial(**BEARER) as other:
        await other.hello()
        async with house.dial(**BEARER) as client:
            await client.hello()
            await it.deliver(reply("one", index=1))
            last = (await client.hear())["seq"]
        await it.deliver(reply("two", index=2))
        await it.deliver(reply("three", index=3))
        async with house.dial(**BEARER) as client:
            welcome = await client.hello(last=last)
            assert welcome["data"]["recovered"] is True
            heard = [await client.hear(), await client.hear()]
            assert [frame["data"]["text"] for frame in heard] == ["two", "three"]
            assert last < heard[0]["seq"] < heard[1]["seq"] == welcome["seq"]


@pytest.mark.parametrize("last, recovered", [(None, True), (5, False), (2**60, False)])
async def test_a_client_is_told_honestly_whether_something_may_be_missing(last, recovered):
    async with open_house(channel()) as house, house.dial(**BEARER) as client:
        assert (await client.hello(last=last))["data"]["recovered"] is recovered


async def test_what_no_longer_fits_into_the_log_is_not_claimed_to_be_recovered():
    it = channel()
    async with open_house(it) as house, house.dial(**BEARER) as client:
        start = (await client.hello())["seq"]
        for index in range(70):
            await it.deliver(reply(str(index), index=index))
            await client.hear()
        async with house.dial(**BEARER) as other:
            welcome = await other.hello(last=start)
            assert welcome["data"]["recovered"] is False
            assert (await other.hear())["data"]["text"] == "6"


async def test_a_streamed_reply_comes_in_pieces_and_ends_whole():
    it = channel()

    async def pieces():
        yield "Good "
        await trio.sleep(0.1)
        yield "day"

    async with open_house(it) as house, house.dial(**BEARER) as client:
        await client.hello()
        receipt = await it.stream(reply(""), pieces())
        heard = [await client.hear() for _ in range(4)]
        assert [frame["type"] for frame in heard] == ["reply.start", "reply.delta", "reply.delta", "reply.end"]
        assert heard[3]["data"]["text"] == "Good day"
        assert {frame["id"] for frame in heard} == {"d.0"}
        assert receipt == Delivered(str(heard[3]["seq"]))


async def test_a_reply_that_is_there_at_once_is_streamed_to_a_client_that_reads():
    it = channel()

    async def pieces():
        for number in range(5_000):
            yield f"{number} "

    async with open_house(it) as house, house.dial(**BEARER) as client, trio.open_nursery() as nursery:
        await client.hello()
        nursery.start_soon(it.stream, reply(""), pieces())
        heard = []
        while not heard or heard[-1]["type"] != "reply.end":
            heard.append(await client.hear())
        text = "".join(frame["data"]["text"] for frame in heard if frame["type"] == "reply.delta")
        assert text == heard[-1]["data"]["text"] == "".join(f"{number} " for number in range(5_000))
        assert len(heard) < 200


async def test_a_stream_that_breaks_ends_as_incomplete():
    it = channel()

    async def pieces():
        yield "Good "
        raise RuntimeError("the model fell over")

    async with open_house(it) as house, house.dial(**BEARER) as client:
        await client.hello()
        with pytest.raises(RuntimeError):
            await it.stream(reply(""), pieces())
        end = [await client.hear() for _ in range(3)][2]
        assert (end["type"], end["data"]["text"], end["data"]["incomplete"]) == ("reply.end", "Good ", True)
        assert "seq" not in end


async def test_two_clients_of_one_conversation_both_hear_and_another_conversation_does_not():
    it = channel()
    async with open_house(it) as house, AsyncExitStack() as stack:
        one, two, other = [await stack.enter_async_context(house.dial(**BEARER)) for _ in range(3)]
        await one.hello()
        await two.hello()
        await other.hello(conversation="else")
        await it.deliver(reply())
        assert (await one.hear())["seq"] == (await two.hear())["seq"]
        await other.say("ping")
        assert (await other.hear())["type"] == "pong"


async def test_a_client_that_does_not_read_is_closed_with_1013_and_holds_nobody_up():
    it = channel(queued_frames=8)
    async with open_house(it) as house, house.dial(**BEARER) as slow:
        await slow.hello()
        text = "x" * 200_000

        async def pieces():
            for _ in range(60):
                yield text
                await trio.lowlevel.checkpoint()

        await it.stream(reply(""), pieces())
        assert await slow.end() in (1013, 1006)


async def test_an_independent_client_library_gets_along():
    it = channel()

    def talk(port):
        url = f"ws://127.0.0.1:{port}/channels/it"
        with websockets.sync.client.connect(url, additional_headers=BEARER) as client:
            client.send(json.dumps({"v": 1, "type": "hello", "data": {}}))
            welcome = json.loads(client.recv(timeout=60))
            client.send(json.dumps({"v": 1, "type": "message", "id": "m1", "data": {"text": "grüß"}}))
            ack = json.loads(client.recv(timeout=60))
            assert client.ping().wait(60)
        return welcome["type"], ack["type"]

    async with open_house(it) as house:
        assert await trio.to_thread.run_sync(partial(talk, house.port)) == ("welcome", "ack")
        assert house.inlet().messages[0].content == "grüß"
