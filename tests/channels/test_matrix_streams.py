"""Replies that grow in a room, files that come and go, ghosts that speak, and a homeserver that is away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import unquote

import trio
import trio.testing
from msgspec.structs import replace

from gateway.channels.matrix import MatrixChannel
from gateway.message.envelope import Delivery, uuid7
from gateway.message.message import Attachment, Conversation, Message, Sender
from gateway.message.receipt import Bounced, Deferred, Delivered
from gateway.ports import Finding
from gateway.testing.channels import MOMENT, FakeInlet, bench, delivery
from protocols.errors import NothingSent, UnknownAfterSend
from tests.channels.matrix_words import BOT, ROOM, FakeHomeserver, settings

FRESH = uuid7(MOMENT + 60, bytes(10))
OLD = uuid7(MOMENT - 60, bytes(10))


class FakeMedia:
    """A store in memory."""

    def __init__(self) -> None:
        self.files = {"picture": b"PNG"}

    async def size(self, ref: str) -> int:
        return len(self.files[ref])

    async def open(self, ref: str) -> AsyncIterator[bytes]:
        yield self.files[ref]


class Stand:
    def __init__(self, **changes: Any) -> None:
        self.homeserver = FakeHomeserver()
        kit = replace(bench().kit, http=self.homeserver, media=FakeMedia())
        self.channel = MatrixChannel("it", settings(**changes), kit)
        self.inlet = FakeInlet()

    def events(self) -> list[Any]:
        return self.homeserver.asked("/send/m.room.message/")


def reply(content: str = "", envelope: str = FRESH, **fields: Any) -> Delivery:
    message = Message(channel="it", content=content, conversation=Conversation(ROOM), **fields)
    return replace(delivery(message), id=f"{envelope}.0", envelope_id=envelope)


async def words(*pieces: str, seconds: float = 2.0) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece
        await trio.sleep(seconds)


async def test_a_reply_is_posted_and_then_edited_to_the_whole(autojump_clock: Any) -> None:
    stand = Stand()
    receipt = await stand.channel.stream(reply(), words("one ", "**two** ", "three"))
    assert receipt == Delivered("$sent1")
    first, *edits = stand.events()
    assert first["body"].startswith("one") and "m.relates_to" not in first
    assert {edit["m.relates_to"]["event_id"] for edit in edits} == {"$sent1"}
    last = edits[-1]["m.new_content"]
    assert (last["body"], last["formatted_body"]) == ("one **two** three", "one <strong>two</strong> three")


async def test_a_reply_that_an_earlier_life_began_is_edited_to_the_whole(autojump_clock: Any) -> None:
    stand = Stand()
    await stand.channel.stream(reply(envelope=OLD), words("one ", "two", seconds=0))
    again = Stand()
    again.homeserver.events, again.homeserver.contents = stand.homeserver.events, stand.homeserver.contents
    assert await again.channel.deliver(reply("something else", OLD)) == Delivered("$sent1")
    assert again.events()[-1]["m.new_content"]["body"] == "something else"


async def test_a_reply_that_stands_there_whole_is_not_edited() -> None:
    stand = Stand()
    for _ in range(2):
        assert await stand.channel.deliver(reply("whole", OLD)) == Delivered("$sent1")
    assert [event for event in stand.events() if "m.new_content" in event] == []


async def test_a_stream_that_ended_in_doubt_is_made_whole_by_the_next_attempt(autojump_clock: Any) -> None:
    stand = Stand()
    stand.homeserver.will = [UnknownAfterSend("broke")]
    receipt = await stand.channel.stream(reply(), words("one ", "two"))
    assert not isinstance(receipt, Delivered)
    stand.homeserver.contents["$kept"] = json.loads(stand.homeserver.sent[0].body)  # it had arrived after all
    assert await stand.channel.deliver(reply("one two")) == Delivered("$kept")
    assert stand.events()[-1]["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$kept"}


async def test_an_event_that_is_too_large_goes_without_its_html() -> None:
    stand = Stand()
    stand.homeserver.will = [(413, {"errcode": "M_TOO_LARGE"})]
    assert isinstance(await stand.channel.deliver(reply("**bold**")), Delivered)
    with_html, without = stand.events()
    assert "formatted_body" in with_html and "formatted_body" not in without


async def test_a_file_is_uploaded_and_shown(autojump_clock: Any) -> None:
    stand = Stand()
    stand.homeserver.will = [(200, {"content_uri": "mxc://example.org/new"})]
    picture = Attachment(kind="image", mime="image/png", name="a.png", size=3, ref="picture")
    assert isinstance(await stand.channel.deliver(reply(attachments=(picture,))), Delivered)
    upload = stand.homeserver.sent[0]
    assert upload.url.endswith("/_matrix/media/v3/upload?filename=a.png")
    (shown,) = stand.events()
    assert (shown["msgtype"], shown["url"], shown["info"]) == (
        "m.image",
        "mxc://example.org/new",
        {"mimetype": "image/png", "size": 3},
    )


async def test_a_file_that_is_not_here_bounces() -> None:
    attachment = Attachment(name="a.png", url="https://elsewhere.org/a.png")
    assert isinstance(await Stand().channel.deliver(reply(attachments=(attachment,))), Bounced)


async def test_a_file_that_is_not_kept_any_more_bounces() -> None:
    receipt = await Stand().channel.deliver(reply(attachments=(Attachment(name="a.png", ref="swept"),)))
    assert receipt == Bounced("The file a.png is not kept any more.")


async def test_a_ghost_is_registered_invited_and_joined_when_it_speaks_for_the_first_time() -> None:
    stand = Stand(ghosts=("@_oclaw_.*:example\\.org",))
    stand.homeserver.will = [(403, {"errcode": "M_FORBIDDEN"})]
    ghost = "@_oclaw_anna:example.org"
    assert isinstance(await stand.channel.deliver(reply("hi", sender=Sender(ghost))), Delivered)
    paths = [unquote(sent.url).partition("/v3/")[2] for sent in stand.homeserver.sent]
    assert paths[1:4] == ["register", f"rooms/{ROOM}/invite", f"rooms/{ROOM}/join?user_id={ghost}"]
    assert all(paths[index].endswith(f"?user_id={ghost}") for index in (0, 4))


async def test_while_the_homeserver_is_away_replies_wait_and_are_woken(autojump_clock: Any) -> None:
    stand = Stand()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, stand.inlet))
        stand.homeserver.will = [NothingSent("refused")] * 6
        receipt = await stand.channel.deliver(reply("hi"))
        assert isinstance(receipt, Deferred)
        await trio.testing.wait_all_tasks_blocked()
        waiting = await stand.channel.deliver(reply("hi"))
        assert isinstance(waiting, Deferred) and waiting.offline
        woken = len(stand.inlet.woken)
        await trio.sleep(120)
        assert len(stand.inlet.woken) > woken
        assert isinstance(await stand.channel.deliver(reply("hi")), Delivered)
        nursery.cancel_scope.cancel()
    assert "disconnected" in stand.inlet.states and stand.inlet.states[-1] == "connected"


async def test_a_refusal_by_a_proxy_is_no_wrong_token(autojump_clock: Any) -> None:
    stand = Stand()
    stand.homeserver.will = [(403, {}), (401, {})]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, stand.inlet))
        nursery.cancel_scope.cancel()
    assert stand.inlet.states == ["disconnected", "disconnected", "connected"]


async def test_at_the_start_the_homeserver_is_asked_to_deliver_what_it_kept(autojump_clock: Any) -> None:
    stand = Stand(display_name="Oclaw")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, stand.inlet))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert any(sent.url.endswith("/appservice/oclaw/ping") for sent in stand.homeserver.sent)
    assert {"displayname": "Oclaw"} in [json.loads(sent.body) for sent in stand.homeserver.sent if sent.body]


async def test_a_homeserver_that_does_not_reach_us_is_asked_to_try_again_and_status_says_so(
    autojump_clock: Any,
) -> None:
    told: list[str] = []

    class Inlet(FakeInlet):
        def connected(self, state: str, why: str = "") -> None:
            told.append(f"{state} {why}")

    stand = Stand()
    refused = (502, {"errcode": "M_CONNECTION_FAILED", "error": "Connection refused"})
    stand.homeserver.pings = [refused, refused]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, Inlet()))
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    up = f"connected as {BOT}"
    vain = "but it does not reach this gateway: The homeserver answered 502 M_CONNECTION_FAILED Connection refused"
    assert told == [up, f"{up}; {vain}", up]


async def test_typing_is_shown_and_taken_back() -> None:
    stand = Stand()
    for working in (True, False):
        await stand.channel.typing(Conversation(ROOM), working=working)
    assert [body["typing"] for body in stand.homeserver.asked(f"/typing/{BOT}")] == [True, False]


async def test_the_doctor_names_the_first_thing_that_is_wrong() -> None:
    stand, found = Stand(), list[Finding]()
    stand.homeserver.will = [(200, {}), (401, {"errcode": "M_UNKNOWN_TOKEN"})]
    await stand.channel.doctor(found.append)
    assert [each.ok for each in found] == [True, False] and "as_token" in found[-1].way_out


async def test_what_follows_a_stream_of_several_events_is_an_event_of_its_own(autojump_clock: Any) -> None:
    stand = Stand(text_limit=1000)
    streamed = await stand.channel.stream(reply(), words("word " * 300))
    assert isinstance(streamed, Delivered) and len(stand.events()) >= 2
    await stand.channel.deliver(replace(reply("next"), id=f"{FRESH}.1"))
    assert stand.events()[-1]["body"] == "next" and "m.relates_to" not in stand.events()[-1]


async def test_a_reply_to_another_room_is_no_edit_of_the_stream_that_bears_its_number(autojump_clock: Any) -> None:
    stand = Stand()
    await stand.channel.stream(reply(), words("one ", "two"))
    elsewhere = reply("see there")
    duty = replace(elsewhere, message=replace(elsewhere.message, conversation=Conversation("!duty:example.org")))
    await stand.channel.deliver(duty)
    assert stand.events()[-1]["body"] == "see there" and "m.new_content" not in stand.events()[-1]
