"""Replies become events of a room, once; and what rooms ask to be done is done, also after a restart."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import unquote

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from gateway.channels.matrix import MatrixChannel
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Unknown
from gateway.ports import Arrived
from gateway.testing.channels import MOMENT, FakeInlet, bench, delivery
from protocols.errors import NothingSent, UnknownAfterSend
from tests.channels.matrix_words import ANNA, AS, BOT, ROOM, FakeHomeserver, event, settings, transaction


class Stand:
    def __init__(self, homeserver: FakeHomeserver | None = None, **changes: Any) -> None:
        self.homeserver = homeserver or FakeHomeserver()
        self.channel = MatrixChannel("it", settings(**changes), replace(bench().kit, http=self.homeserver))
        self.inlet = FakeInlet()

    async def sends(self, content: str, kind: Any = "direct", thread: str = "", **fields: Any) -> Any:
        message = Message(channel="it", content=content, conversation=Conversation(ROOM, kind, thread), **fields)
        return await self.channel.deliver(delivery(message))

    def hears(self, *events: Any) -> None:
        """Let the gateway commit what these events ask for."""
        came = self.channel.receive(transaction("t1", *events), 0.0)
        self.inlet.offer(came.messages, lambda _: None, came.cursor)


def invited(inviter: str = ANNA, room: str = ROOM) -> Any:
    return event("m.room.member", {"membership": "invite"}, sender=inviter, state_key=BOT, room_id=room)


async def test_a_reply_is_sent_once_however_often_it_is_tried() -> None:
    stand = Stand()
    first = await stand.sends("hi")
    assert first == await stand.sends("hi") == Delivered("$sent1")
    one, again = [sent for sent in stand.homeserver.sent if sent.method == "PUT"]
    assert one.url == again.url
    assert unquote(one.url).endswith(f"/rooms/{ROOM}/send/m.room.message/00000000-0000-7000-8000-00000000000a.0")
    assert one.headers["authorization"] == f"Bearer {AS}"


@pytest.mark.parametrize(("kind", "quote", "quoted"), [("direct", "groups", False), ("group", "groups", True), ("direct", "always", True), ("group", "never", False)])  # fmt: skip # noqa: E501
async def test_what_a_reply_answers_is_shown_where_that_helps(kind: str, quote: str, quoted: bool) -> None:
    stand = Stand(quote=quote)
    await stand.sends("hi", kind, reply_to="$1")
    (content,) = stand.homeserver.asked("/send/")
    assert ("m.relates_to" in content) is quoted


async def test_a_reply_in_a_thread_stays_there() -> None:
    stand = Stand()
    await stand.sends("hi", thread="$root", reply_to="$1")
    (content,) = stand.homeserver.asked("/send/")
    fallback = {"is_falling_back": True, "m.in_reply_to": {"event_id": "$1"}}
    assert content["m.relates_to"] == {"rel_type": "m.thread", "event_id": "$root", **fallback}


async def test_edits_reactions_and_deletes_are_the_platforms_own() -> None:
    stand = Stand()
    await stand.sends("better", action="edit", target_id="$1")
    await stand.sends("👍", type="reaction", target_id="$2")
    await stand.sends("", action="delete", target_id="$3")
    edit, reaction = stand.homeserver.asked("/send/")
    assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$1"}
    assert (edit["body"], edit["m.new_content"]["body"]) == ("* better", "better")
    assert reaction["m.relates_to"] == {"rel_type": "m.annotation", "event_id": "$2", "key": "👍"}
    assert len(stand.homeserver.asked("/redact/$3/")) == 1


@pytest.mark.parametrize(
    ("answer", "receipt"),
    [
        ((429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}), Deferred),
        ((401, {"errcode": "M_UNKNOWN_TOKEN"}), Deferred),
        ((403, {"errcode": "M_FORBIDDEN", "error": "not in room"}), Bounced),
        ((413, {"errcode": "M_TOO_LARGE"}), Bounced),
        ((400, {"errcode": "M_DUPLICATE_ANNOTATION"}), Delivered),
        ((500, {"errcode": "M_UNKNOWN"}), Deferred),
        ((502, {}), Deferred),
        (NothingSent("refused"), Deferred),
        (UnknownAfterSend("broke"), Unknown),
    ],
)
async def test_what_the_homeserver_answers_decides_what_happens_next(answer: Any, receipt: type) -> None:
    stand = Stand()
    stand.homeserver.will = [answer]
    assert isinstance(await stand.sends("hi"), receipt)


async def test_what_a_refused_token_holds_up_waits_uncounted_for_a_person() -> None:
    stand = Stand()
    stand.homeserver.will = [(401, {"errcode": "M_UNKNOWN_TOKEN"})]
    receipt = await stand.sends("hi")
    assert isinstance(receipt, Deferred) and receipt.offline and receipt.after_seconds == 300


async def test_retry_after_in_milliseconds_is_obeyed() -> None:
    stand = Stand()
    stand.homeserver.will = [(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500})]
    receipt = await stand.sends("hi")
    assert isinstance(receipt, Deferred) and receipt.after_seconds == 2.5


async def test_a_room_that_refuses_for_now_holds_no_other_room_up() -> None:
    stand = Stand()
    here, there = (Message(channel="it", content="hi", conversation=Conversation(room)) for room in (ROOM, "!b:c.d"))
    assert stand.channel.circuit_of(delivery(here)) != stand.channel.circuit_of(delivery(there))


# ---- errands -------------------------------------------------------------------------------------


async def test_an_invitation_is_followed_by_policy_and_others_are_turned_down(autojump_clock: Any) -> None:
    stand = Stand()
    stand.hears(invited(), invited("@eve:elsewhere.org", "!evil:elsewhere.org"))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, stand.inlet))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    paths = [unquote(sent.url).partition("/rooms/")[2] for sent in stand.homeserver.sent if sent.method == "POST"]
    assert f"{ROOM}/join" in paths and "!evil:elsewhere.org/leave" in paths


async def test_an_invitation_that_could_not_be_committed_is_committed_when_it_comes_again() -> None:
    stand = Stand()
    for _ in range(2):
        came = stand.channel.receive(transaction("t1", invited()), MOMENT)
        assert isinstance(came, Arrived) and came.cursor is not None and ROOM in came.cursor.value


async def test_a_room_that_takes_long_to_join_keeps_nobody_waiting_and_hundreds_keep_nobody_out(
    autojump_clock: Any,
) -> None:
    stand = Stand()
    stand.homeserver.slow = {f"!gone{number}:example.org" for number in range(600)}
    stand.hears(*(invited(room=room) for room in sorted(stand.homeserver.slow)[:3]))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, stand.inlet))
        stand.hears(invited())
        await trio.sleep(1)
        joined = [unquote(sent.url) for sent in stand.homeserver.sent if sent.url.endswith("/join")]
        assert any(ROOM in url for url in joined)
        nursery.cancel_scope.cancel()
    stand.hears(*(invited(room=room) for room in sorted(stand.homeserver.slow)))
    stand.hears(invited(room="!late:example.org"))
    assert "!late:example.org" in stand.inlet.cursors["errands"]


async def test_a_room_that_was_upgraded_is_followed_by_the_policy_for_invitations(autojump_clock: Any) -> None:
    stand = Stand()
    for mover, room in ((ANNA, "!new:example.org"), ("@eve:elsewhere.org", "!evil:elsewhere.org")):
        stand.hears(event("m.room.tombstone", {"replacement_room": room}, sender=mover, state_key=""))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, stand.inlet))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    joins = [unquote(sent.url).partition("/join/")[2] for sent in stand.homeserver.sent if "/join/" in sent.url]
    assert joins == ["!new:example.org?via=example.org&server_name=example.org"]


async def test_an_invitation_survives_a_crash_before_it_was_followed(autojump_clock: Any) -> None:
    first = Stand()
    first.hears(invited())
    second = Stand()
    second.inlet.cursors = first.inlet.cursors
    second.homeserver.will = []
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(second.channel.run, second.inlet))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert any(sent.url.endswith("/join") for sent in second.homeserver.sent)


async def test_an_encrypted_room_hears_one_notice_and_nothing_else_in_clear_also_after_a_restart(
    autojump_clock: Any,
) -> None:
    stand = Stand()
    sealed = event("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"})
    stand.hears(sealed, sealed)
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(stand.channel.run, stand.inlet))
            await trio.testing.wait_all_tasks_blocked()
            assert isinstance(await stand.sends("in clear"), Bounced)
            nursery.cancel_scope.cancel()
        again = Stand(stand.homeserver)
        again.inlet.cursors = stand.inlet.cursors
        stand = again
    assert [content["msgtype"] for content in stand.homeserver.asked("/send/")] == ["m.notice"]


async def test_an_errand_is_tried_again_while_the_homeserver_is_away(autojump_clock: Any) -> None:
    stand = Stand()
    stand.hears(invited())
    stand.homeserver.will = [NothingSent("refused")] * 12
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, stand.inlet))
        with trio.fail_after(3600):
            while not any(sent.url.endswith("/join") for sent in stand.homeserver.sent) or stand.homeserver.will:
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
