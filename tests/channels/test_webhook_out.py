"""The webhook's exit: where a reply goes, how it is signed, what an answer means."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import ip_address

import pytest
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from gateway.channels.allowed import Destinations
from gateway.channels.webhook import WebhookChannel
from gateway.channels.webhook_settings import Settings
from gateway.config.secret import Secret
from gateway.errors import SettingError, SettingErrors
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Unknown, Unsent
from gateway.testing.channels import MOMENT, Bench, answered, bench, delivery, request
from protocols.errors import AddressRefused, NothingSent, UnknownAfterSend

IN = "whsec_" + base64.b64encode(bytes(32)).decode()
OUT = "whsec_" + base64.b64encode(bytes(range(32))).decode()
REPLY = Message(channel="it", content="hi", conversation=Conversation("c1"), reply_to="m1", metadata={"id": 7})


def channel(table: Bench, **given: object) -> WebhookChannel:
    given = {"auth": "none", "deliver_url": "https://example.net/hook", **given}
    return WebhookChannel("it", Settings(**given), table.kit, outside=lambda: table.http)  # type: ignore[arg-type]


async def test_a_reply_is_signed_so_that_official_sdks_believe_it():
    now = datetime.now(UTC).timestamp()
    table = bench(now=lambda: now)
    assert await channel(table, deliver_secret=Secret("env:O", OUT)).deliver(delivery(REPLY)) == Delivered()
    sent = table.http.sent[0]
    assert (sent.method, sent.url) == ("POST", "https://example.net/hook")
    standardwebhooks.Webhook(OUT).verify(sent.body, sent.headers)
    svix.webhooks.Webhook(OUT).verify(sent.body, sent.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(OUT).verify(sent.body + b" ", sent.headers)


async def test_while_its_secret_is_changed_a_reply_is_signed_for_those_who_know_either():
    now = datetime.now(UTC).timestamp()
    table = bench(now=lambda: now)
    it = channel(table, deliver_secret=Secret("env:O", OUT), old_deliver_secret=Secret("env:P", IN))
    await it.deliver(delivery(REPLY))
    sent = table.http.sent[0]
    for secret in (OUT, IN):
        standardwebhooks.Webhook(secret).verify(sent.body, sent.headers)


async def test_a_reply_can_be_signed_with_ed25519():
    private, table = Ed25519PrivateKey.generate(), bench()
    key = "whsk_" + base64.b64encode(private.private_bytes_raw() + private.public_key().public_bytes_raw()).decode()
    await channel(table, deliver_secret=Secret("env:O", key)).deliver(delivery(REPLY))
    sent = table.http.sent[0]
    version, _, made = sent.headers["webhook-signature"].partition(",")
    text = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
    assert version == "v1a"
    private.public_key().verify(base64.b64decode(made), text)


async def test_every_attempt_has_the_same_id_and_body_and_a_fresh_time_and_signature():
    moment = [MOMENT]
    table = bench(now=lambda: moment[0])
    it = channel(table, deliver_secret=Secret("env:O", OUT))
    await it.deliver(delivery(REPLY))
    moment[0] += 60
    await it.deliver(delivery(REPLY, attempt=2))
    first, second = table.http.sent
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_the_body_follows_the_template_in_its_order():
    table = bench()
    template = {"id": "$id", "reply": "$text", "cost": "$$5", "n": [1, "$thread"]}
    await channel(table, reply_body=template).deliver(delivery(REPLY))
    assert table.http.sent[0].body == b'{"id":7,"reply":"hi","cost":"$5","n":[1,""]}'


async def test_without_a_template_the_body_is_the_one_standard_webhooks_recommends():
    table = bench()
    await channel(table).deliver(delivery(REPLY))
    body = json.loads(table.http.sent[0].body)
    assert list(body) == ["type", "timestamp", "data"]
    assert (body["timestamp"], body["data"]["in_reply_to"]) == ("2023-11-14T22:13:20Z", 7)


def date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(MOMENT + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    "answer, receipt",
    [
        (answered(200), Delivered()),
        (answered(204), Delivered()),
        (answered(429, retry_after="7"), Deferred("", 7.0)),
        (answered(503, retry_after=date(30)), Deferred("", 30.0)),
        (answered(503, retry_after=date(-30)), Deferred("", 0.0)),
        (answered(503, retry_after="soon"), Deferred("", None)),
        (answered(502), Deferred("", None)),
        (answered(504), Deferred("", None)),
        (answered(500), Deferred("", None)),
        (answered(400), Bounced("")),
        (answered(404), Deferred("", None)),
        (answered(403), Deferred("", None)),
        (answered(404, retry_after="90"), Deferred("", 90.0)),
        (answered(302, location="http://169.254.169.254/"), Bounced("")),
        (answered(410), Bounced("", disable=True)),
        (NothingSent("refused"), Unsent("")),
        (AddressRefused("private"), Bounced("")),
        (UnknownAfterSend("lost"), Unknown("")),
    ],
)
async def test_an_answer_becomes_a_receipt(answer, receipt):
    got = await channel(bench(answer)).deliver(delivery(REPLY))
    assert type(got) is type(receipt)
    assert getattr(got, "after_seconds", None) == getattr(receipt, "after_seconds", None)
    assert getattr(got, "disable", False) == getattr(receipt, "disable", False)


async def test_an_address_that_the_sender_named_is_believed_when_it_says_that_it_is_not_there():
    reply = replace(REPLY, metadata={"id": 7, "reply_to": "https://example.org/hooks/7"})
    it = channel(bench(answered(404)), reply_to_allowed=["https://example.org/hooks"])
    assert isinstance(await it.deliver(delivery(reply)), Bounced)


ALLOWED = ("https://example.org/hooks", "http://127.0.0.1:9000/", "http://[::1]:9000/")


@pytest.mark.parametrize(
    "url, taken",
    [
        ("https://example.org/hooks", True),
        ("https://example.org/hooks/a?b=c", True),
        ("https://EXAMPLE.org:443/hooks", True),
        ("http://127.0.0.1:9000/sink", True),
        ("http://[::1]:9000/", True),
        ("https://example.org/hooksy", False),
        ("https://example.org/", False),
        ("http://example.org/hooks", False),
        ("https://example.org:8443/hooks", False),
        ("https://example.org:99999/hooks", False),
        ("https://example.org.evil.net/hooks", False),
        ("https://example.org@evil.net/hooks", False),
        ("https://u:p@example.org/hooks", False),
        ("https://example.org/hooks/../admin", False),
        ("https://example.org/hooks/%2e%2e/admin", False),
        ("https://example.org/hooks/x%2f..%2f..%2fadmin", False),
        ("https://example.org\\@evil.net/hooks", False),
        ("https://example.org/hooks#x", False),
        ("https://exämple.org/hooks", False),
        ("https://example.org/ho\noks", False),
        ("//example.org/hooks", False),
        ("ftp://example.org/hooks", False),
        ("http://127.1:9000/sink", False),
    ],
)
async def test_a_payload_may_name_only_an_address_on_the_allow_list(url, taken):
    table = bench()
    it = channel(table, reply_to_allowed=ALLOWED, deliver_url="")
    came = it.receive(request(body=json.dumps({"text": "x", "reply_to": url}).encode()), MOMENT)
    assert hasattr(came, "messages") == taken
    reply = Message(channel="it", content="hi", metadata={"reply_to": url})
    assert isinstance(await it.deliver(delivery(reply)), Delivered if taken else Bounced)
    assert [sent.url for sent in table.http.sent] == ([url] if taken else [])


@pytest.mark.parametrize(
    "address, may",
    [
        ("93.184.215.14", True),
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("127.0.0.2", False),
        ("10.2.0.1", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("fd00::1", False),
        ("100.64.0.1", False),
    ],
)
def test_addresses_inside_are_reached_only_where_the_operator_named_them(address, may):
    assert Destinations(ALLOWED, ("10.1.0.0/16",)).may_reach(ip_address(address)) == may


async def test_the_payload_s_id_and_address_come_back_with_the_reply_as_they_were():
    table = bench()
    it = channel(table, reply_to_allowed=ALLOWED, reply_body={"id": "$id", "reply": "$text"})
    body = b'{"id":42,"text":"x","reply_to":"http://127.0.0.1:9000/sink","oclaw":{"wait":true}}'
    came = it.receive(request(body=body), MOMENT).messages[0]
    await it.deliver(delivery(Message(channel="it", content="hi", metadata=it.address_of(came))))
    assert (table.http.sent[0].url, table.http.sent[0].body) == (
        "http://127.0.0.1:9000/sink",
        b'{"id":42,"reply":"hi"}',
    )


async def test_a_reply_that_somebody_waits_for_or_that_has_no_address_is_not_sent():
    table = bench()
    it = channel(table)
    came = it.receive(request(body=b'{"text":"x"}', headers=(("Prefer", "respond-async, wait=5"),)), MOMENT)
    assert came.wait_seconds == 5
    reply = Message(channel="it", content="hi", metadata=it.address_of(came.messages[0]))
    assert await it.deliver(delivery(reply)) == Delivered()
    assert await channel(table, deliver_url="").deliver(delivery(REPLY)) == Delivered()
    assert table.http.sent == []


async def test_the_hops_of_a_message_are_counted_on():
    table = bench()
    it = channel(table)
    came = it.receive(request(body=b'{"text":"x"}', headers=(("Oclaw-Hops", "2"),)), MOMENT)
    await it.deliver(delivery(Message(channel="it", content="hi", metadata=it.address_of(came.messages[0]))))
    assert table.http.sent[0].headers["oclaw-hops"] == "3"


@pytest.mark.parametrize(
    "given, place",
    [
        ({"deliver_secret": Secret("env:A", IN), "secrets": (Secret("env:A", IN),)}, "channels.it.deliver_secret"),
        ({"deliver_secret": Secret("env:A", "whsec_short")}, "channels.it.deliver_secret"),
        ({"old_deliver_secret": Secret("env:A", "whsec_short")}, "channels.it.old_deliver_secret"),
        ({"secrets": (Secret("env:A", "whsec_!!"),)}, "channels.it.secrets"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_never_shown(given, place):
    with pytest.raises(SettingError) as caught:
        channel(bench(), **given)
    assert caught.value.place == place
    assert "whsec_!!" not in str(caught.value) and IN not in str(caught.value)


def test_every_fault_in_the_settings_is_told_at_once():
    with pytest.raises(SettingErrors) as caught:
        Settings(
            auth="signature",
            fields={"txt": "/a", "id": "a"},
            required=("thread",),
            reply_body={"a": "$b"},
            deliver_url="x",
            reply_to_allowed=("https://u@h/",),
            private_networks=("10.0.0.0/99",),
        )
    places = ["secrets", "fields.txt", "fields.id", "required", "reply_body", "deliver_url", "reply_to_allowed",
              "private_networks"]  # fmt: skip
    assert [problem.place for problem in caught.value.problems] == places
