"""What a homeserver sends becomes messages, and is answered 200 only when they are kept."""

from __future__ import annotations

import json
from inspect import isawaitable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.channels.matrix import MatrixChannel
from gateway.channels.matrix_errands import invitation
from gateway.channels.matrix_events import Place, message_of
from gateway.channels.matrix_markup import markdown_of
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Delivered
from gateway.notices import UnknownEvent
from gateway.ports import Accepted, Arrived
from gateway.testing.channels import MOMENT, Bench, bench, delivery
from protocols.errors import NothingSent
from protocols.http1.messages import Request, Response
from tests.channels.house import open_house
from tests.channels.matrix_words import ANNA, BOT, HS, ROOM, FakeHomeserver, call, event, said, settings, transaction


class Stand:
    """A channel on a fake homeserver."""

    def __init__(self, **changes: Any) -> None:
        self.now = MOMENT
        table: Bench = bench(now=lambda: self.now)
        self.notices = table.notices
        self.homeserver = FakeHomeserver()
        self.kit = replace(table.kit, http=self.homeserver)
        self.channel = MatrixChannel("it", settings(**changes), self.kit)
        self.number = 0

    async def hears(self, *events: Any, **fields: Any) -> tuple[Message, ...]:
        self.number += 1
        came = await self.receives(transaction(f"t{self.number}", *events, **fields))
        assert isinstance(came, Arrived), came
        assert came.answer([Accepted("id")] * len(came.messages)).body == b"{}"
        return came.messages

    async def receives(self, request: Request) -> Arrived | Response:
        came = self.channel.receive(request, MOMENT)
        result: Arrived | Response = await came if isawaitable(came) else came
        return result

    def counted(self) -> list[str]:
        return [notice.kind for notice in self.notices if isinstance(notice, UnknownEvent)]


def relates(**fields: Any) -> dict[str, Any]:
    return {"m.relates_to": fields}


# ---- calls ---------------------------------------------------------------------------------------


async def test_a_wrong_or_missing_token_is_refused_before_anything_is_decoded() -> None:
    for token in ("", "x", HS + "x"):
        came = await Stand().receives(transaction("1", said("$1", "hi"), token=token))
        assert isinstance(came, Response)
        assert (came.status, json.loads(came.body)["errcode"]) == (403, "M_FORBIDDEN")


async def test_a_repeated_transaction_is_answered_at_once_and_changes_nothing() -> None:
    stand = Stand()
    request = transaction("7", said("$1", "hi"))
    first = await stand.receives(request)
    assert isinstance(first, Arrived)
    first.answer([Accepted("id")])
    again = await stand.receives(request)
    assert isinstance(again, Response) and again.status == 200


async def test_a_transaction_id_that_comes_with_other_events_is_a_new_one() -> None:
    stand = Stand()
    await stand.receives(transaction("7", said("$1", "hi")))
    other = await stand.receives(transaction("7", said("$2", "a homeserver that was set up anew counts from 1")))
    assert isinstance(other, Arrived) and [message.id for message in other.messages] == ["$2"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/_matrix/app/v1/ping", 200),
        ("GET", "/_matrix/app/v1/users/%40oclaw%3Aexample.org", 200),
        ("GET", "/_matrix/app/v1/users/%40other%3Aexample.org", 404),
        ("GET", "/_matrix/app/v1/rooms/%23room%3Aexample.org", 404),
        ("GET", "/_matrix/app/v1/thirdparty/protocol/irc", 404),
        ("GET", "/_matrix/app/v1/transactions/1", 405),
        ("GET", "/_matrix/app/v1/users/%ff", 400),
        ("POST", "/_matrix/app/v1/nothing", 404),
    ],
)
async def test_queries_and_pings_are_answered(method: str, path: str, status: int) -> None:
    came = await Stand().receives(call(method, path))
    assert isinstance(came, Response) and came.status == status


async def test_the_platforms_paths_are_served_as_they_are_and_below_the_channels_name() -> None:
    stand, other = Stand(), Stand(hs_token=settings().as_token)
    other.channel.name = "other"
    async with open_house(stand.channel, other.channel) as house:
        for number, path in enumerate(("", "/channels/it"), 1):
            body = json.dumps({"events": [said(f"${number}", "hi")]}).encode()
            answer = await house.http.request(
                "PUT",
                f"{house.url}{path}/_matrix/app/v1/transactions/{number}",
                headers=(("Authorization", f"Bearer {HS}"), ("Content-Type", "application/json")),
                body=body,
            )
            assert (answer.status, answer.body, answer.headers.get("Content-Length")) == (200, b"{}", "2")
        assert [message.id for message in house.inlet().messages] == ["$1", "$2"]
        url = f"{house.url}/_matrix/app/v1/ping"
        answer = await house.http.request("POST", url, headers=(("Authorization", "Bearer the-as-token"),))
        assert answer.status == 200, "of two accounts on one path, the token tells which is meant"


# ---- events --------------------------------------------------------------------------------------


async def test_a_message_is_told_with_room_sender_and_time() -> None:
    stand = Stand()
    stand.homeserver.titles[ROOM] = "Kitchen"
    (message,) = await stand.hears(said("$1", "hello"))
    assert (message.id, message.dedupe_key, message.content) == ("$1", "$1", "hello")
    assert (message.sender.id, message.sender.name) == (ANNA, "Anna")
    assert (message.conversation.id, message.conversation.kind, message.conversation.title) == (
        ROOM,
        "direct",
        "Kitchen",
    )
    assert message.sent_at == 1_700_000_000.123
    assert message.metadata == {"type": "m.room.message", "msgtype": "m.text"}


async def test_a_room_is_asked_about_once_and_then_followed() -> None:
    stand = Stand()
    await stand.hears(said("$1", "hi"))
    asked = len(stand.homeserver.sent)
    joined = event("m.room.member", {"membership": "join", "displayname": "Bert"}, state_key="@bert:example.org")
    named = event("m.room.name", {"name": "Garden"}, state_key="")
    (message,) = await stand.hears(joined, named, said("$2", "hi", sender="@bert:example.org"))
    assert (message.sender.name, message.conversation.kind, message.conversation.title) == ("Bert", "group", "Garden")
    left = event("m.room.member", {"membership": "leave"}, state_key="@bert:example.org")
    (message,) = await stand.hears(left, said("$3", "hi"))
    assert message.conversation.kind == "direct"
    assert len(stand.homeserver.sent) == asked


async def test_who_speaks_in_the_same_transaction_in_which_we_come_into_the_room_is_heard_as_in_any_other() -> None:
    stand = Stand()
    joined = event("m.room.member", {"membership": "join", "displayname": "oclaw"}, "$0", BOT, state_key=BOT)
    (message,) = await stand.hears(joined, said("$1", "hello"))
    assert (message.conversation.kind, message.sender.name) == ("direct", "Anna")
    renamed = event("m.room.member", {"membership": "join", "displayname": "Oclaw"}, "$2", BOT, state_key=BOT)
    (message,) = await stand.hears(said("$3", "still there?"), renamed)
    assert (message.conversation.kind, message.sender.name) == ("direct", "Anna")


async def test_an_edit_names_its_target_and_brings_the_new_text() -> None:
    stand = Stand()
    new = {"msgtype": "m.text", "body": "better"}
    edit = said("$2", "* better", **relates(rel_type="m.replace", event_id="$1"), **{"m.new_content": new})
    (message,) = await stand.hears(edit)
    assert (message.action, message.target_id, message.content, message.id) == ("edit", "$1", "better", "$2")


async def test_a_thread_is_a_conversation_and_so_is_what_is_said_about_it() -> None:
    stand = Stand()
    thread = relates(
        rel_type="m.thread", event_id="$root", is_falling_back=True, **{"m.in_reply_to": {"event_id": "$x"}}
    )
    reaction = event("m.reaction", relates(rel_type="m.annotation", event_id="$2", key="👍"), "$3")
    redaction = event("m.room.redaction", {"redacts": "$2"}, "$4")
    messages = await stand.hears(said("$2", "in here", **thread), reaction, redaction)
    assert {message.conversation.thread for message in messages} == {"$root"}
    assert messages[0].reply_to == ""
    assert (messages[1].type, messages[1].content, messages[1].target_id) == ("reaction", "👍", "$2")
    assert (messages[2].action, messages[2].target_id) == ("delete", "$2")


async def test_the_formatted_form_is_read_as_markdown() -> None:
    formatted = {
        "format": "org.matrix.custom.html",
        "formatted_body": '<b>hi</b> <a href="https://matrix.to/#/@oclaw:example.org">Oclaw</a>',
    }
    (message,) = await Stand().hears(said("$1", "hi Oclaw", **formatted))
    assert (message.content, message.mentions_me) == ("**hi** Oclaw", True)


async def test_a_reply_names_what_it_answers_without_quoting_it() -> None:
    body = "> <@bert:example.org> what is it?\n> really\n\nthis"
    (message,) = await Stand().hears(said("$2", body, **relates(**{"m.in_reply_to": {"event_id": "$1"}})))
    assert (message.reply_to, message.content) == ("$1", "this")


async def test_a_file_is_an_attachment_and_its_caption_the_text() -> None:
    info = {"mimetype": "image/png", "size": 99}
    picture = {"msgtype": "m.image", "url": "mxc://example.org/a", "info": info}
    plain, captioned = await Stand().hears(
        said("$1", "cat.png", **picture), said("$2", "look", filename="cat.png", **picture)
    )
    (attachment,) = plain.attachments
    assert (plain.type, plain.content, captioned.content) == ("image", "", "look")
    assert (attachment.kind, attachment.mime, attachment.name, attachment.size) == ("image", "image/png", "cat.png", 99)
    assert attachment.url == "mxc://example.org/a" and captioned.attachments[0].name == "cat.png"


async def test_mentions_are_what_the_event_says_or_the_id_in_older_clients_or_a_reply_to_us() -> None:
    stand = Stand()
    asked = Message(channel="it", content="what?", conversation=Conversation(ROOM))
    ours = await stand.channel.deliver(delivery(asked))
    assert isinstance(ours, Delivered)
    messages = await stand.hears(
        said("$1", "hi", **{"m.mentions": {"user_ids": [BOT]}}),
        said("$2", f"{BOT}: hi"),
        said("$3", f"they say {BOT}", **{"m.mentions": {}}),
        said("$4", "hi"),
        said("$5", "hi", **relates(**{"m.in_reply_to": {"event_id": ours.remote_id}})),
    )
    assert [message.mentions_me for message in messages] == [True, True, False, False, True]


async def test_what_we_sent_ourselves_and_what_programs_say_is_dropped() -> None:
    stand = Stand(ghosts=("@_oclaw_.*:example\\.org",))
    notice = said("$3", "beep", msgtype="m.notice")
    ours = said("$1", "x", sender=BOT), said("$2", "x", sender="@_oclaw_anna:example.org")
    assert await stand.hears(*ours, notice) == ()
    (heard,) = await Stand(answer_bots=True).hears(notice)
    assert heard.sender.is_bot


async def test_what_is_redacted_or_unknown_is_counted_and_never_an_error() -> None:
    stand = Stand()
    broken = (
        event("m.room.message", {}),
        event("m.call.invite", {"x": 1}),
        said("$2", "x", msgtype=7),
        event("m.reaction", relates(rel_type="m.annotation", event_id="$1")),
        said("$3", "x", **relates(rel_type="m.replace", event_id="$1")),
        {},
        "no event at all",
    )
    assert await stand.hears(*broken) == ()
    assert stand.counted() == [
        "m.room.message redacted",
        "m.call.invite",
        "m.room.message without a msgtype",
        "m.reaction without annotation",
        "m.replace without new content",
        "event without a type",
    ]


async def test_what_fits_in_no_record_is_left_out() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    first, second = await Stand().hears(said("$1", "x", big=2**70), said("$2", "x", deep=deep))
    assert first.metadata == second.metadata == {"type": "m.room.message"}


async def test_what_is_remembered_of_strangers_is_bounded_in_length_too() -> None:
    stand, long = Stand(), "x" * 60_000
    named = event("m.room.member", {"membership": "join", "displayname": long}, state_key=ANNA)
    await stand.hears(said("$0", "hi"))
    titled = event("m.room.name", {"name": long}, state_key="")
    (message,) = await stand.hears(named, titled, said("$1", "hi", **relates(rel_type="m.thread", event_id="$" + long)))
    assert message.conversation.thread == "" and max(len(message.sender.name), len(message.conversation.title)) == 256
    await stand.hears(event("m.room.tombstone", {"replacement_room": "!" + long}, state_key=""))
    assert len(stand.channel._errands.cursor().value) < 1_000


async def test_more_events_than_any_homeserver_sends_are_refused_in_one_go() -> None:
    came = await Stand().receives(transaction("1", *[{}] * 5001))
    assert isinstance(came, Response) and came.status == 413
    assert isinstance(await Stand().receives(transaction("1", *[{}] * 5000)), Arrived)


async def test_a_lone_surrogate_does_not_stop_the_homeservers_queue() -> None:
    request = transaction("1", said("$1", "x"), said("$2", "ok"))
    came = await Stand().receives(replace(request, body=request.body.replace(b'"x"', b'"\\ud800"')))
    assert isinstance(came, Arrived) and [message.id for message in came.messages] == ["$1", "$2"]


async def test_when_a_room_cannot_be_asked_about_the_homeserver_comes_again_but_not_for_ever() -> None:
    stand = Stand()
    stand.homeserver.will = [NothingSent("refused")] * 3
    request = transaction("1", said("$1", "hi"))
    for _ in range(2):
        came = await stand.receives(request)
        assert isinstance(came, Response) and came.status == 503
    came = await stand.receives(request)
    assert isinstance(came, Arrived) and came.messages[0].conversation.kind == "group"


@pytest.mark.parametrize("odd", [[], [[]], {"a": 1}, None, 5, True, "", "\0", "\u202e"], ids=repr)
@pytest.mark.parametrize("field", ["type", "event_id", "sender", "room_id", "state_key", "content", "origin_server_ts"])
async def test_a_field_of_any_type_leaves_the_rest_of_the_transaction_heard(field: str, odd: Any) -> None:
    stand = Stand()
    heard = await stand.hears({**said("$1", "odd"), field: odd}, said("$2", "hello"))
    assert [message.content for message in heard][-1:] == ["hello"]


PLACE = Place(
    channel="it",
    bot=BOT,
    kind=lambda _: "group",
    title=lambda _: "",
    name_of=lambda _, user: user,
    thread_of=lambda _: "",
    is_ours=lambda _: False,
    markdown=markdown_of,
)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["m.relates_to", "rel_type", "event_id", "body", "msgtype", "info", "url", "m.new_content", "m.mentions", "user_ids", "key", "redacts"]), inner, max_size=4), max_leaves=12)  # fmt: skip # noqa: E501
TYPES = st.sampled_from(
    ["m.room.message", "m.reaction", "m.room.redaction", "m.sticker", "m.room.member", "m.room.encrypted"]
)


@how(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # nested JSON is slow to make on a busy machine
@given(st.lists(st.fixed_dictionaries({"type": TYPES, "content": JSON, "sender": st.just(ANNA), "event_id": st.just("$1"), "room_id": st.just(ROOM)}, optional={"state_key": JSON, "origin_server_ts": JSON, "redacts": JSON}), max_size=3))  # fmt: skip # noqa: E501
def test_nothing_that_a_stranger_puts_into_an_event_raises(events: list[dict[str, Any]]) -> None:
    for each in events:
        assert isinstance(message_of(each, PLACE), Message | str)
        assert isinstance(invitation(each), str)
