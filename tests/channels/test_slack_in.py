"""Slack's entrance: who is believed, what becomes of each event, what is dropped and what is counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.signature import Clock, SignatureVerifier

from gateway.message.message import Attachment, Conversation
from gateway.notices import EnvelopeRefused, EventIgnored, UnknownEvent
from gateway.ports import Accepted, Arrived, Refused
from gateway.testing.channels import MOMENT, bench, request
from protocols.http1.messages import Request, Response
from tests.channels.slack_words import (
    BOT,
    BOT_ID,
    COMMAND,
    ROOM,
    SECRET,
    callback,
    channel,
    form,
    post,
    signed,
    told,
)


class Still(Clock):
    def now(self) -> float:
        return MOMENT


OFFICIAL = SignatureVerifier(SECRET, Still())


def receive(asked: Request, **settings: object):
    table = bench()
    came = channel(table.kit, **settings).receive(asked, MOMENT)
    assert isinstance(came, Arrived | Response)
    return came, table.notices


def message(event, **settings):
    came, notices = receive(told(event), **settings)
    assert isinstance(came, Arrived), (came, notices)
    (only,) = came.messages
    return only


def dropped(event, **settings):
    came, notices = receive(told(event), **settings)
    assert isinstance(came, Response) and came.status == 200
    (notice,) = notices
    return notice


def believed(asked: Request) -> bool:
    came, _ = receive(asked)
    return not (isinstance(came, Response) and came.status == 401)


def officially(asked: Request) -> bool:
    """The verdict of Slack's own SDK; what it cannot read it does not believe."""
    try:
        return bool(OFFICIAL.is_valid_request(asked.body, dict(asked.headers)))
    except (ValueError, TypeError):
        return False


# -- who is believed -----------------------------------------------------------------------------------------------


def test_what_the_official_sdk_signs_is_taken_and_it_believes_what_our_words_sign():
    body = json.dumps(callback(post("hello"))).encode()
    stamp = str(int(MOMENT))
    headers = (
        ("X-Slack-Request-Timestamp", stamp),
        ("X-Slack-Signature", str(OFFICIAL.generate_signature(timestamp=stamp, body=body))),
    )
    assert isinstance(receive(request(body=body, headers=headers))[0], Arrived)
    assert officially(told(post("hello")))


@given(st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
def test_after_any_change_we_and_the_official_sdk_agree_that_it_is_forged(data):
    asked = told(post("hello"))
    place = data.draw(st.sampled_from(["body", "x-slack-request-timestamp", "x-slack-signature"]))
    text = asked.body.decode() if place == "body" else asked.headers.get(place)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from("0123456789abcdefv=x")) + text[at + 1 :]
    body = changed.encode() if place == "body" else asked.body
    fields = tuple((name, changed if name.lower() == place else value) for name, value in asked.headers)
    forged = request(body=body, headers=fields)
    assert believed(forged) == officially(forged) == (changed == text)


@pytest.mark.parametrize("age, taken", [(0, True), (299, True), (301, False), (-299, True), (-301, False)])
def test_a_signature_is_good_for_five_minutes_in_either_direction(age, taken):
    asked = signed(json.dumps(callback(post("x"))).encode(), at=MOMENT - age)
    assert believed(asked) is officially(asked) is taken


@pytest.mark.parametrize("missing", ["x-slack-request-timestamp", "x-slack-signature"])
def test_a_request_without_one_of_the_headers_is_refused_and_counted(missing):
    asked = told(post("x"))
    fields = tuple((name, value) for name, value in asked.headers if name.lower() != missing)
    came, notices = receive(request(body=asked.body, headers=fields))
    assert came.status == 401
    assert notices == [EnvelopeRefused("it", "unsigned", notices[0].detail)]


def test_a_body_that_is_too_large_is_refused_before_anything_is_computed():
    assert receive(signed(b" " * 2000), body_bytes=1024)[0].status == 413


def test_the_address_is_confirmed_only_to_whoever_signs():
    body = json.dumps({"type": "url_verification", "token": "t", "challenge": "3eZbrw1a"}).encode()
    came, _ = receive(signed(body))
    assert (came.status, came.body) == (200, b"3eZbrw1a")
    assert receive(request(body=body))[0].status == 401


def test_a_socket_mode_channel_takes_nothing_over_http():
    assert receive(told(post("x")), mode="socket")[0].status == 404


# -- what becomes of a post ----------------------------------------------------------------------------------------


def test_a_post_becomes_a_message_and_the_rest_of_its_fields_are_kept():
    it = message(post("hello &lt;you&gt; &amp; <@U0BEN00001|ben>", client_msg_id="c1", blocks=[{"type": "rich_text"}]))
    assert (it.id, it.type, it.action, it.platform, it.channel) == ("1700000000.000100", "text", "new", "slack", "it")
    assert it.content == "hello <you> & @ben"
    assert it.sender.id == "U0ANN00001" and not it.sender.is_bot
    assert it.conversation == Conversation(ROOM, "channel")
    assert it.sent_at == 1700000000.0001
    assert it.metadata["client_msg_id"] == "c1" and it.metadata["event_id"] == "Ev1"
    assert it.metadata["blocks"] == [{"type": "rich_text"}]
    assert "token" not in it.metadata


@pytest.mark.parametrize("kind, is_", [("im", "direct"), ("mpim", "group"), ("group", "group"), ("channel", "channel")])
def test_each_kind_of_channel_is_told_apart(kind, is_):
    assert message(post("x", channel_type=kind)).conversation.kind == is_


def test_message_and_app_mention_of_one_post_have_one_dedupe_key_and_read_alike():
    first = message(post(f"<@{BOT}> what is up?"))
    second = message(post(f"<@{BOT}> what is up?", type="app_mention"))
    assert first.dedupe_key == second.dedupe_key == f"{ROOM}/1700000000.000100"
    assert first.content == second.content == "what is up?"
    assert first.mentions_me and second.mentions_me
    assert not message(post("nobody is meant")).mentions_me


def test_a_repetition_says_so_and_has_the_same_dedupe_key():
    first = message(post("x"))
    came, _ = receive(told(post("x"), X_Slack_Retry_Num="1", X_Slack_Retry_Reason="http_timeout"))
    (again,) = came.messages
    assert again.dedupe_key == first.dedupe_key
    assert (again.metadata["retry_num"], again.metadata["retry_reason"]) == ("1", "http_timeout")


def test_a_mention_in_the_middle_stays_under_our_name():
    assert message(post(f"ask <@{BOT}> or <!here> in <#C1|ops>: <https://x.y|this>")).content == (
        "ask @oclaw or @here in #ops: [this](https://x.y)"
    )


def test_a_thread_keeps_its_root_and_a_reply_to_us_is_said_to_us():
    it = message(post("yes", ts="1700000009.000100", thread_ts="1700000000.000100", parent_user_id=BOT))
    assert it.conversation.thread == it.reply_to == "1700000000.000100"
    assert it.mentions_me
    root = message(post("root", thread_ts="1700000000.000100"))
    assert (root.conversation.thread, root.reply_to) == ("", ""), "it was said where the thread is"


def test_with_threads_on_a_post_in_a_channel_begins_one_and_a_direct_message_does_not():
    assert message(post("x"), reply_in_thread=True).conversation.thread == "1700000000.000100"
    assert message(post("x", channel="D01", channel_type="im"), reply_in_thread=True).conversation.thread == ""


def test_an_edit_that_changed_the_text_is_an_edit_and_any_other_is_left():
    changed = post("", subtype="message_changed", ts="1700000007.000000", event_ts="1700000007.000000")
    before = {"type": "message", "user": "U0ANN00001", "text": "helo", "ts": "1700000000.000100"}
    after = {**before, "text": "hello", "edited": {"user": "U0ANN00001", "ts": "1700000007.000000"}}
    it = message({**changed, "message": after, "previous_message": before})
    assert (it.action, it.target_id, it.content) == ("edit", "1700000000.000100", "hello")
    assert it.dedupe_key.endswith("/1700000000.000100/edited/1700000007.000000")
    unfurled = {**before, "attachments": [{"title": "a page"}]}
    assert dropped({**changed, "message": unfurled, "previous_message": before}) == EventIgnored(
        "it", "message_changed"
    )


def test_a_delete_names_what_is_gone():
    before = {"type": "message", "user": "U0ANN00001", "text": "x", "ts": "1700000000.000100"}
    event = post("", subtype="message_deleted", deleted_ts="1700000000.000100", previous_message=before)
    it = message({key: value for key, value in event.items() if key not in ("text", "user")})
    assert (it.action, it.target_id, it.sender.id) == ("delete", "1700000000.000100", "U0ANN00001")
    tombstone = post("", subtype="message_changed", previous_message=before)
    it = message({**tombstone, "message": {"subtype": "tombstone", "ts": "1700000000.000100"}})
    assert (it.action, it.target_id) == ("delete", "1700000000.000100")


@pytest.mark.parametrize("kind, action", [("reaction_added", "new"), ("reaction_removed", "delete")])
def test_a_reaction_is_about_a_message(kind, action):
    item = {"type": "message", "channel": ROOM, "ts": "1700000000.000100"}
    event = {"type": kind, "user": "U0ANN00001", "reaction": "thumbsup", "item": item, "item_user": BOT}
    it = message({**event, "event_ts": "1700000003.000000"})
    assert (it.type, it.action, it.content, it.target_id) == ("reaction", action, "👍", "1700000000.000100")
    assert it.mentions_me and it.conversation.id == ROOM


def test_a_file_is_an_attachment_whose_address_needs_the_token():
    file = {
        "id": "F1", "name": "cat.png", "mimetype": "image/png", "filetype": "png", "size": 3,
        "url_private": "https://files.slack.com/files-pri/T1-F1/cat.png",
    }  # fmt: skip
    it = message(post("look", subtype="file_share", files=[file, {"id": "F2", "mode": "tombstone"}, "rubbish"]))
    assert it.type == "image" and it.content == "look"
    assert it.attachments == (Attachment("image", "image/png", "cat.png", 3, url=file["url_private"]),)


def test_a_slash_command_and_a_click_are_taken_in_either_encoding():
    came, _ = receive(form(**COMMAND))
    (it,) = came.messages
    assert (it.type, it.content, it.sender.name, it.mentions_me) == ("command", "/ask why & how", "ann", True)
    assert it.metadata["response_url"] == COMMAND["response_url"] and "token" not in it.metadata
    click = {
        "type": "block_actions", "user": {"id": "U0ANN00001", "username": "ann"}, "channel": {"id": ROOM},
        "message": {"ts": "1700000000.000100", "thread_ts": "1690000000.000100"}, "trigger_id": "1.2.3",
        "actions": [{"action_id": "a", "value": "yes"}, {"selected_option": {"value": "red"}}],
    }  # fmt: skip
    came, _ = receive(form(payload=json.dumps(click)))
    (it,) = came.messages
    assert (it.type, it.content, it.target_id) == ("event", "yes\nred", "1700000000.000100")
    assert it.conversation == Conversation(ROOM, "channel", "1690000000.000100")
    assert it.dedupe_key == "interaction/1.2.3"


# -- what is not answered ------------------------------------------------------------------------------------------


def test_what_we_and_other_programs_say_is_dropped_by_id():
    assert dropped(post("mine", user=BOT)) == EventIgnored("it", "own")
    assert dropped(post("mine", bot_id=BOT_ID, user="")) == EventIgnored("it", "own")
    assert dropped(post("mine", app_id="A0APP00001", bot_id="B9", user="")) == EventIgnored("it", "own")
    assert dropped(post("beep", bot_id="B0OTHER", subtype="bot_message")) == EventIgnored("it", "bot")
    assert message(post("beep", bot_id="B0OTHER"), answer_bots=True).sender.is_bot
    assert message(post("I am called oclaw too", username="oclaw")).sender.id == "U0ANN00001"


def test_before_slack_has_said_who_we_are_an_event_does():
    table = bench()
    it = channel(table.kit)
    it._entrance.known(user="", bot="", shown_as="")
    it._entrance._guard.own_ids.clear()
    assert it.receive(told(post("mine", user=BOT)), MOMENT).status == 200
    assert table.notices == [EventIgnored("it", "own")]


@pytest.mark.parametrize(
    "event, kind",
    [
        ({"type": "team_join"}, "team_join"),
        ({}, "nothing"),
        (post("x", subtype="channel_join"), "message.channel_join"),
        ({"type": "message"}, "message_without_place"),
        ({"type": 7}, "nothing"),
    ],
)
def test_an_event_that_is_not_known_is_counted_and_acknowledged(event, kind):
    assert dropped(event) == UnknownEvent("it", kind)


def test_a_full_gateway_asks_slack_to_come_again_and_a_commit_is_acknowledged_emptily():
    came, _ = receive(told(post("x")))
    assert came.answer([Accepted("id")]) == Response(200)
    busy = came.answer([Refused("full", 2.0)])
    assert busy.status == 503 and ("Retry-After", "2") in busy.headers


# -- whatever comes ------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "type", "subtype", "channel", "channel_type", "user", "text", "ts", "thread_ts", "files", "message", "edited",
    "previous_message", "item", "reaction", "deleted_ts", "bot_id", "bot_profile", "event_ts", "app_id",
])  # fmt: skip
KINDS = st.sampled_from(["message", "app_mention", "reaction_added", "message_changed", "message_deleted", "x"])
EVENTS = st.dictionaries(NAMES, KINDS | JSON | st.dictionaries(NAMES, KINDS | JSON, max_size=5), max_size=8)


@given(EVENTS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_no_event_raises_however_its_fields_are_made(event):
    came, _ = receive(told(event))
    assert isinstance(came, Arrived) or came.status == 200


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from([
    "application/json", "application/x-www-form-urlencoded", "text/plain", "", "application/json; charset=utf-7",
]))  # fmt: skip
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_no_body_raises_whatever_it_is_called(body, kind):
    came, _ = receive(signed(body, kind=kind))
    assert isinstance(came, Arrived) or came.status in (200, 415, 422)


@given(st.dictionaries(st.sampled_from([*COMMAND, "payload"]), st.text(max_size=20), max_size=8) | st.just(COMMAND))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_no_form_raises(fields):
    came, _ = receive(form(**{key: value.encode("utf-8", "replace").decode() for key, value in fields.items()}))
    assert isinstance(came, Arrived) or came.status in (200, 422)


@given(
    st.dictionaries(NAMES | st.sampled_from(["actions", "container", "trigger_id", "callback_id"]), JSON, max_size=6)
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_no_click_raises(payload):
    came, _ = receive(form(payload=json.dumps({"user": {"id": "U1"}, **payload})))
    assert isinstance(came, Arrived) or came.status in (200, 422)


ENVELOPES = st.fixed_dictionaries(
    {"type": st.sampled_from(["events_api", "slash_commands", "interactive", "x"]) | JSON},
    optional={"payload": JSON | EVENTS.map(callback) | st.just(COMMAND), "retry_attempt": JSON, "retry_reason": JSON},
)


@given(ENVELOPES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_no_envelope_raises(envelope):
    assert callable(channel(bench().kit, mode="socket")._take(envelope))


@pytest.mark.parametrize("subtype", ["message_changed", "message_deleted"])
def test_what_happens_to_the_first_post_of_a_thread_happens_where_it_was_said(subtype):
    first, ts = message(post("hi")), "1700000000.000100"
    before = {"user": "U0ANN00001", "text": "hi", "ts": ts, "thread_ts": ts}
    event = post("", subtype=subtype, deleted_ts=ts, previous_message=before, message={**before, "text": "ho"})
    it = message(event)
    assert (it.target_id, it.sender, it.conversation) == (first.id, first.sender, first.conversation)
