"""The channels of this folder keep the contract that every channel keeps."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
import standardwebhooks

from gateway.channels.grpc import GrpcChannel
from gateway.channels.grpc_settings import Settings as GrpcSettings
from gateway.channels.irc import IrcChannel
from gateway.channels.irc_settings import Settings as IrcSettings
from gateway.channels.matrix import MatrixChannel
from gateway.channels.webchat import Settings as WebchatSettings
from gateway.channels.webchat import WebchatChannel
from gateway.channels.webhook import WebhookChannel
from gateway.channels.webhook_settings import Settings as WebhookSettings
from gateway.channels.websocket import WebSocketChannel
from gateway.channels.websocket_settings import Settings as SocketSettings
from gateway.config.secret import Secret
from gateway.message.message import Conversation, Message
from gateway.ports import Kit, Traits
from gateway.testing.channel_contract import CHECKS, ChannelCase
from gateway.testing.channels import MOMENT, request
from protocols.http1.messages import Request
from tests.channels.matrix_words import said, transaction
from tests.channels.matrix_words import settings as matrix_settings
from tests.channels.slack_words import BOT, ROOM, escaped, post, told
from tests.channels.slack_words import channel as slack
from tests.channels.slack_words import settings as slack_settings
from tests.support.story import FakeChannel

IN = "whsec_" + base64.b64encode(bytes(32)).decode()
OUT = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def webhook(kit: Kit) -> WebhookChannel:
    settings = WebhookSettings(
        secrets=(Secret("env:IN", IN),),
        deliver_url="https://example.net/hook",
        deliver_secret=Secret("env:OUT", OUT),
    )
    return WebhookChannel("it", settings, kit, outside=lambda: kit.http)


def knock(event: str, text: str) -> Request:
    body = json.dumps({"text": text, "sender": {"id": "u1"}})
    sign = standardwebhooks.Webhook(IN).sign(event, datetime.fromtimestamp(MOMENT, UTC), body)
    headers = (("webhook-id", event), ("webhook-timestamp", str(int(MOMENT))), ("webhook-signature", sign))
    return request(body=body.encode(), headers=headers)


def circling() -> Request:
    asked = knock("e1", "x")
    return request(body=asked.body, headers=(*tuple(asked.headers), ("Oclaw-Hops", "9")))


def websocket(kit: Kit) -> WebSocketChannel:
    return WebSocketChannel("it", SocketSettings(tokens={"ada": Secret("env:T", "t")}), kit)


def grpc(kit: Kit) -> GrpcChannel:
    return GrpcChannel("it", GrpcSettings(tokens={"till": Secret("env:T", "t")}), kit)


def matrix(kit: Kit) -> MatrixChannel:
    return MatrixChannel("it", matrix_settings(), kit)


CASES = {
    "grpc": ChannelCase(
        build=grpc,
        sends=False,
        bad_settings=(
            lambda: GrpcSettings(tokens={}),
            lambda: GrpcSettings(tokens={"till": Secret("env:T", "t")}, kept_replies=64, queued_events=100),
        ),
    ),
    "irc": ChannelCase(
        build=lambda kit: IrcChannel("it", IrcSettings(host="irc.example.org", nick="oclaw"), kit),
        sends=False,
        bad_settings=(
            lambda: IrcSettings(host="irc.example.org", nick="1st"),
            lambda: IrcSettings(host="irc.example.org", nick="oclaw", channels=("help",)),
            lambda: IrcSettings(host="irc.example.org", nick="oclaw", sasl_user="u"),
        ),
    ),
    "matrix": ChannelCase(
        build=matrix,
        knock=lambda event, text: transaction(event, said(event, text)),
        own=transaction("t1", said("e1", "x", sender="@oclaw:example.org")),
        guarded=False,
        reply=Message(channel="it", content="hi", conversation=Conversation("!r:example.org", "group")),
        bad_settings=(
            lambda: matrix_settings(homeserver_url="example.org"),
            lambda: matrix_settings(server_name="", bot_localpart="@oclaw"),
            lambda: matrix_settings(ghosts=("[",)),
            lambda: matrix_settings(join="listed"),
        ),
    ),
    "slack": ChannelCase(
        build=slack,
        knock=lambda event, text: told(post(escaped(text), ts=f"170000000{event[1:]}.000100")),
        own=told(post("mine", user=BOT)),
        reply=Message(channel="it", content="hi", conversation=Conversation(ROOM, "channel")),
        bad_settings=(
            lambda: slack_settings(signing_secret=None),
            lambda: slack_settings(mode="socket", app_token=None),
            lambda: slack_settings(base_url="slack.com/api/"),
            lambda: slack_settings(base_url="https://slack.com/api", file_hosts=("slack",)),
            lambda: slack_settings(private_networks=("10.0.0.1/99",)),
        ),
    ),
    "slack, by socket": ChannelCase(
        build=lambda kit: slack(kit, mode="socket"),
        reply=Message(channel="it", content="hi", conversation=Conversation(ROOM, "channel")),
    ),
    "webhook": ChannelCase(
        build=webhook,
        knock=knock,
        own=circling(),
        bad_settings=(WebhookSettings, lambda: WebhookSettings(auth="none", fields={"text": "text"})),
    ),
    "websocket": ChannelCase(build=websocket, sends=False, bad_settings=(SocketSettings,)),
    "webchat": ChannelCase(
        build=lambda kit: WebchatChannel("it", WebchatSettings(), kit),
        sends=False,
        bad_settings=(lambda: WebchatSettings(local=False),),
    ),
    "the fake of the stories": ChannelCase(build=lambda kit: FakeChannel("it", Traits(text_limit=400)), sends=False),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
async def test_the_contract_is_kept(name, check):
    await check(CASES[name])
