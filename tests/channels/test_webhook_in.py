"""The webhook's entrance: who is believed, what becomes of a payload, what a refusal says."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channels.webhook import WebhookChannel
from gateway.channels.webhook_settings import Settings
from gateway.config.secret import Secret
from gateway.message.message import Attachment
from gateway.ports import Arrived
from gateway.testing.channels import MOMENT, bench, request
from protocols.http1.messages import Response

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()
BODY = json.dumps({"id": "m1", "text": "hello", "sender": {"id": "u1", "name": "Ada"}, "room": 7}).encode()


def secret(value: str) -> Secret:
    return Secret("env:X", value)


def channel(**given: object) -> WebhookChannel:
    return WebhookChannel("it", Settings(**given), bench().kit, outside=lambda: bench().http)  # type: ignore[arg-type]


def signed() -> WebhookChannel:
    return channel(auth="signature", secrets=(secret(OLD), secret(SECRET)))


def signature(at: float = MOMENT, key: str = SECRET, family: str = "webhook"):
    signer = (standardwebhooks if family == "webhook" else svix.webhooks).Webhook(key)
    sign = signer.sign("msg_1", datetime.fromtimestamp(at, UTC), BODY.decode())
    return ((f"{family}-id", "msg_1"), (f"{family}-timestamp", str(int(at))), (f"{family}-signature", sign))


def status_of(got: object) -> int | None:
    return got.status if isinstance(got, Response) else None


def detail(response: Response) -> str:
    assert dict(response.headers)["Content-Type"] == "application/problem+json"
    return json.loads(response.body)["detail"]


@pytest.mark.parametrize("family", ["webhook", "svix"])
@pytest.mark.parametrize("key", [SECRET, OLD])
def test_a_request_signed_by_an_official_sdk_with_any_valid_secret_is_taken(family, key):
    arrived = signed().receive(request(body=BODY, headers=signature(family=family, key=key)), MOMENT)
    assert isinstance(arrived, Arrived)
    assert (arrived.messages[0].content, arrived.messages[0].dedupe_key) == ("hello", "msg_1")


def test_an_ed25519_signature_is_taken():
    private = Ed25519PrivateKey.generate()
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    made = base64.b64encode(private.sign(b"msg_1.%d.%b" % (MOMENT, BODY))).decode()
    headers = (*signature()[:2], ("webhook-signature", f"v1,bm90aGluZw== v1a,{made}"))
    it = channel(secrets=(secret(public),))
    assert isinstance(it.receive(request(body=BODY, headers=headers), MOMENT), Arrived)
    assert status_of(it.receive(request(body=BODY + b" ", headers=headers), MOMENT)) == 401


@given(st.data())
@settings(max_examples=60)
def test_a_single_changed_character_anywhere_is_refused(data):
    headers = list(signature())
    place = data.draw(st.integers(0, 3))
    text = BODY.decode() if place == 3 else headers[place][1]
    at = data.draw(st.integers(0, len(text) - 1))
    other = chr((ord(text[at]) - 32 + data.draw(st.integers(1, 90))) % 95 + 32)
    changed = text[:at] + other + text[at + 1 :]
    if place < 3:
        headers[place] = (headers[place][0], changed)
    body = changed.encode() if place == 3 else BODY
    assert status_of(signed().receive(request(body=body, headers=tuple(headers)), MOMENT)) == 401


@pytest.mark.parametrize("age, status", [(299, None), (301, 401), (-299, None), (-301, 401)])
def test_a_timestamp_is_believed_for_five_minutes_both_ways(age, status):
    assert status_of(signed().receive(request(body=BODY, headers=signature(at=MOMENT - age)), MOMENT)) == status


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_request_without_one_of_the_three_headers_is_refused(missing):
    headers = tuple(field for i, field in enumerate(signature()) if i != missing)
    assert "needed" in detail(signed().receive(request(body=BODY, headers=headers), MOMENT))


def test_the_size_is_judged_before_the_signature_and_the_signature_before_the_form():
    it = channel(secrets=(secret(SECRET),), body_bytes=1024)
    assert status_of(it.receive(request(body=b"x" * 1025), MOMENT)) == 413
    assert status_of(it.receive(request(body=b"no", headers=(("Content-Type", "text/plain"),)), MOMENT)) == 401


@pytest.mark.parametrize(
    "token, status", [("Bearer good", None), ("bearer good", None), ("Bearer bad", 401), ("", 401)]
)
def test_a_bearer_token_is_compared_whole(token, status):
    it = channel(auth="bearer", tokens=(secret("old"), secret("good")))
    got = it.receive(request(body=BODY, headers=(("Authorization", token),), peer="203.0.113.9"), MOMENT)
    assert status_of(got) == status


@pytest.mark.parametrize(
    "name, value, status",
    [
        ("Host", "[::1]:8420", None),
        ("Host", "evil.example", 403),
        ("Origin", "http://localhost:8420", None),
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("X-Forwarded-For", "192.0.2.1", 403),
        ("Forwarded", "for=192.0.2.1", 403),
        ("Content-Type", "text/plain", 415),
        ("Content-Type", "application/json; charset=utf-8", None),
        ("Content-Type", "application/cloudevents+json", None),
    ],
)
def test_without_credentials_a_page_a_proxy_and_a_rebound_name_are_refused(name, value, status):
    got = channel(auth="none").receive(request(body=BODY, headers=((name, value),)), MOMENT)
    assert status_of(got) == status
    if status == 403 and name in ("Host", "Origin"):
        assert f"not among the {name.lower()}s of this channel" in detail(got), "the setting to look at"


@pytest.mark.parametrize(
    "kind, body, why",
    [
        (
            "application/x-www-form-urlencoded",
            BODY,
            "The Content-Type is 'application/x-www-form-urlencoded'; it must be",
        ),
        ("", BODY, "The Content-Type is missing; it must be application/json."),
        ("application/json", b"", "The body is empty; it must be a JSON object."),
    ],
)
def test_what_curl_sends_by_itself_is_told_by_its_name(kind, body, why):
    got = channel(auth="none").receive(request(body=body, headers=(("Content-Type", kind),)), MOMENT)
    assert why in json.loads(got.body)["detail"]


def test_without_credentials_http_1_0_is_refused_for_a_proxy_may_hide_behind_it():
    got = channel(auth="none").receive(request(body=BODY, version="1.0"), MOMENT)
    assert status_of(got) == 403 and b"HTTP/1.1 must be spoken" in got.body
    it = channel(auth="bearer", tokens=(secret("good"),))
    known = request(body=BODY, headers=(("Authorization", "Bearer good"),), version="1.0")
    assert status_of(it.receive(known, MOMENT)) is None


@pytest.mark.parametrize("peer, status", [("127.0.0.1", None), ("::1", None), ("", None), ("192.0.2.1", 403)])
def test_without_credentials_only_this_machine_is_served(peer, status):
    assert status_of(channel(auth="none").receive(request(body=BODY, peer=peer), MOMENT)) == status


def test_the_mapped_fields_become_the_message_and_the_rest_its_metadata():
    fields = {
        "id": "/data/id", "text": "/data/body/0", "type": "/kind", "sender_id": "/data/from/id", "thread": "/data/t~1h",
        "conversation": "/data/chat", "conversation_kind": "/data/kind", "mentions_me": "/data/at_me",
        "sent_at": "/when", "attachments": "/files", "sender_is_bot": "/data/from/bot",
    }  # fmt: skip
    payload = {
        "kind": "invoice.paid", "when": "2023-11-14T22:13:20Z", "files": [{"url": "https://x/y.png", "kind": "image"}],
        "data": {"id": 9, "body": ["e\u0301"], "from": {"id": "u", "bot": True, "team": "t"}, "chat": 5, "t/h": "x",
                 "kind": "group", "at_me": True},
    }  # fmt: skip
    message = (
        channel(auth="none", fields=fields).receive(request(body=json.dumps(payload).encode()), MOMENT).messages[0]
    )
    assert (message.id, message.content, message.type) == ("9", "\u00e9", "event")
    assert (message.sender.id, message.sender.is_bot) == ("u", True)
    assert (message.conversation.id, message.conversation.thread, message.conversation.kind) == ("5", "x", "group")
    assert (message.sent_at, message.mentions_me, message.dedupe_key) == (MOMENT, True, "9")
    assert message.attachments == (Attachment(kind="image", url="https://x/y.png"),)
    assert message.metadata == {"kind": "invoice.paid", "data": {"id": 9, "body": ["e\u0301"], "from": {"team": "t"}}}


@pytest.mark.parametrize("given, at", [(1_700_000_000, MOMENT), (1_700_000_000_500, MOMENT + 0.5), (1.5, 1.5)])
def test_a_time_may_be_in_seconds_or_milliseconds(given, at):
    body = json.dumps({"text": "x", "timestamp": given}).encode()
    assert channel(auth="none").receive(request(body=body), MOMENT).messages[0].sent_at == at


@pytest.mark.parametrize(
    "payload, pointer, found",
    [
        ({}, "/text", "missing"),
        ({"text": None}, "/text", "null"),
        ({"text": 5}, "/text", "a number"),
        ({"text": "x", "id": [1]}, "/id", "an array"),
        ({"text": "x", "timestamp": "soon"}, "/timestamp", "the text 'soon'"),
        ({"text": "x", "attachments": {}}, "/attachments", "an object"),
        ({"text": "x", "reply_to": "http://10.0.0.1/"}, "/reply_to", "the text 'http://10.0.0.1/'"),
        ([], "", "an array"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named_with_what_was_found_and_what_is_wanted(payload, pointer, found):
    got = channel(auth="none").receive(request(body=json.dumps(payload).encode()), MOMENT)
    error = json.loads(got.body)["errors"][0]
    assert (got.status, error["pointer"], error["found"]) == (422, pointer, found)
    assert error["wanted"] in detail(got)


def test_another_method_is_told_which_one_is_meant():
    got = channel(auth="none").receive(request("GET"), MOMENT)
    assert (got.status, dict(got.headers)["Allow"]) == (405, "POST")


def test_a_message_that_goes_in_circles_is_refused():
    it = channel(auth="none", most_hops=3)
    assert isinstance(it.receive(request(body=BODY, headers=(("Oclaw-Hops", "2"),)), MOMENT), Arrived)
    assert status_of(it.receive(request(body=BODY, headers=(("Oclaw-Hops", "3"),)), MOMENT)) == 508


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "id", "sender", "name", "timestamp", "reply_to", "attachments", "oclaw"])
            | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)
PLAIN = channel(auth="none")
DEEP = channel(auth="none", fields={"text": "/text/0/id", "id": "/id"})


@pytest.mark.parametrize("order", [1, -1])
def test_two_fields_may_be_read_from_one_place_or_one_out_of_the_other(order):
    fields = {"conversation": "/user/id", "sender_id": "/user/id", "attachments": "/files", "text": "/files/0/name"}
    fields = dict([*fields.items()][::order])
    payload = {"user": {"id": "u1", "team": "t"}, "files": [{"name": "a.png", "url": "https://x/a.png"}]}
    it = channel(auth="none", fields=fields)
    message = it.receive(request(body=json.dumps(payload).encode()), MOMENT).messages[0]
    assert (message.conversation.id, message.sender.id, message.content) == ("u1", "u1", "a.png")
    (file,) = message.attachments
    assert (file.url, file.name, message.metadata["user"]) == ("https://x/a.png", "a.png", {"team": "t"})


def test_an_edit_and_a_delete_of_a_message_are_no_repetitions_of_it():
    fields = {"id": "/id", "target_id": "/id", "action": "/event", "text": "/text"}
    it = channel(auth="none", fields=fields, required=())
    keys = []
    for event, text in (("new", "a"), ("edit", "b"), ("edit", "b"), ("edit", "c"), ("delete", "")):
        body = json.dumps({"id": "m1", "event": event, "text": text}).encode()
        (message,) = it.receive(request(body=body), MOMENT).messages
        assert message.target_id == "m1"
        keys.append(message.dedupe_key)
    assert keys[0] == "m1" and keys[1] == keys[2] and len(set(keys)) == 4


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
@settings(max_examples=100)
def test_no_body_raises(body):
    for it in (PLAIN, DEEP):
        assert status_of(it.receive(request(body=body), MOMENT)) in (None, 422)


NAMES = ["webhook-id", "webhook-timestamp", "webhook-signature", "Prefer", "Host", "Origin", "Authorization",
         "Oclaw-Hops", "Content-Type"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), st.text(st.characters(max_codepoint=255))))
@settings(max_examples=100)
def test_no_header_raises(headers):
    for it in (signed(), PLAIN, channel(auth="bearer", tokens=(secret("t"),))):
        it.receive(request(body=BODY, headers=tuple(headers.items())), MOMENT)


def test_nesting_without_end_is_a_bad_body():
    assert status_of(PLAIN.receive(request(body=b"[" * 100_000), MOMENT)) == 422
