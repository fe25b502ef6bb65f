"""The platforms of this folder's channels, for the contract of what holds while connections break.

What calls over HTTP calls in memory; Slack's API and the clients of WebSockets talk over loopback.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count

import standardwebhooks
import trio
from msgspec.structs import replace

from gateway.channels.matrix import MatrixChannel
from gateway.channels.slack import SlackChannel
from gateway.channels.webchat import Settings as WebchatSettings
from gateway.channels.webchat import WebchatChannel
from gateway.channels.webhook import WebhookChannel
from gateway.channels.webhook_settings import Settings as WebhookSettings
from gateway.channels.websocket import WebSocketChannel
from gateway.channels.websocket_settings import Settings as SocketSettings
from gateway.config.secret import Secret
from gateway.message.message import Conversation, Message
from gateway.testing.calling import CallingPlatform, calling_platform
from gateway.testing.channels import MOMENT, answered, request
from protocols.http_client.client import HttpClient
from tests.channels import matrix_words, slack_words
from tests.channels.grpc_client import grpc_client
from tests.channels.irc_server import IrcServer, irc_server
from tests.channels.socket_client import socket_client
from tests.support.slack_stub import APP_TOKEN, BOT_TOKEN, SlackStub

IN = "whsec_" + base64.b64encode(bytes(32)).decode()


class Irc:
    """Dials out."""

    on_loopback = False

    open = staticmethod(irc_server)
    wants_other_credentials = IrcServer.wants_other_credentials


class Webhook:
    """Calls; replies go to a sink."""

    on_loopback = False

    @staticmethod
    @asynccontextmanager
    async def open() -> AsyncIterator[CallingPlatform]:
        sink = Sink()
        given = {"secrets": (Secret("env:IN", IN),), "deliver_url": "https://example.net/hook"}
        async with calling_platform(
            make=lambda kit: WebhookChannel("it", WebhookSettings(**given), kit, outside=lambda: kit.http),
            knock=_signed,
            reply=lambda text: Message(channel="it", content=text, conversation=Conversation("c1")),
            heard=lambda: list(sink.texts.values()),
            http=sink,
        ) as platform:
            yield platform


class Sink:
    """Takes what a webhook delivers; what comes again under the same id is dropped."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def request(self, method, url, *, headers=(), body=b"", **_):
        await trio.lowlevel.checkpoint()
        fields = {name.lower(): value for name, value in headers}
        self.texts.setdefault(fields["webhook-id"], json.loads(body)["data"]["text"])
        return answered(200)


def _signed(number, text):
    body = json.dumps({"text": text, "sender": {"id": "u1"}})
    event = f"e{number}"
    sign = standardwebhooks.Webhook(IN).sign(event, datetime.fromtimestamp(MOMENT, UTC), body)
    headers = (("webhook-id", event), ("webhook-timestamp", str(int(MOMENT))), ("webhook-signature", sign))
    return request(body=body.encode(), headers=headers)


class Matrix(CallingPlatform):
    """A homeserver: it calls and is asked, and its rooms can be read back."""

    on_loopback = False

    def wants_other_credentials(self):
        self.homeserver.knows_us = False

    @staticmethod
    @asynccontextmanager
    async def open() -> AsyncIterator[Matrix]:
        homeserver = matrix_words.FakeHomeserver()
        history = homeserver.history[matrix_words.ROOM] = []

        def knock(number, text):
            event = matrix_words.said(f"$e{number}", text)
            history.append(event)
            return matrix_words.transaction(f"t{number}", event)

        where = Conversation(matrix_words.ROOM)
        async with calling_platform(
            Matrix,
            make=lambda kit: MatrixChannel("it", matrix_words.settings(), kit),
            knock=knock,
            reply=lambda text: Message(channel="it", content=text, conversation=where),
            heard=lambda: [content["body"] for content in homeserver.contents.values()],
            http=homeserver,
            is_message=lambda url: "/send/" in url,
            # A homeserver that does not call is looked after every 30 s.
            broken_seconds=60.0,
        ) as platform:
            platform.homeserver = homeserver
            yield platform


class SlackEvents:
    """Slack calls, and its API is on loopback."""

    on_loopback = True

    @staticmethod
    @asynccontextmanager
    async def open() -> AsyncIterator[CallingPlatform]:
        def knock(number, text):
            return slack_words.told(slack_words.post(slack_words.escaped(text), ts=f"1700000000.{number:06d}"))

        async with SlackStub(again_seconds=3600.0).open() as stub, HttpClient() as http:
            given = {"bot_token": Secret("env:B", BOT_TOKEN), "base_url": stub.base_url}
            async with calling_platform(
                make=lambda kit: slack_words.channel(kit, **given),
                knock=knock,
                reply=slack_words.reply,
                heard=stub.texts,
                http=http,
                is_message=lambda url: url.endswith("chat.postMessage"),
            ) as platform:
                yield platform


class SlackSocket:
    """Slack as Socket Mode has it."""

    on_loopback = True

    keeps = True

    def __init__(self, stub: SlackStub, nursery: trio.Nursery) -> None:
        self._stub, self._nursery = stub, nursery
        self._numbers = count(1)
        self._up, self._down = trio.Event(), trio.Event()
        self._wrong, self._first = False, True
        self.reply = slack_words.reply
        self.heard = stub.texts

    @staticmethod
    @asynccontextmanager
    async def open() -> AsyncIterator[SlackSocket]:
        stub = SlackStub(again_seconds=20.0)
        async with stub.open():
            pass
        async with trio.open_nursery() as nursery:
            platform = SlackSocket(stub, nursery)
            platform.comes_back()
            await nursery.start(platform._serve)
            yield platform
            nursery.cancel_scope.cancel()

    def channel(self, kit, inlet):
        given = {
            "mode": "socket",
            "bot_token": Secret("env:B", BOT_TOKEN),
            "app_token": Secret("env:A", "wrong" if self._wrong else APP_TOKEN),
            "base_url": self._stub.base_url,
        }
        it = SlackChannel("it", slack_words.settings(**given), replace(kit, http=HttpClient()))
        it._entrance.known(user=slack_words.BOT, bot=slack_words.BOT_ID, shown_as="oclaw")
        return it

    async def says(self, text):
        await trio.lowlevel.checkpoint()
        number = next(self._numbers)
        event = slack_words.post(slack_words.escaped(text), ts=f"1700000000.{number:06d}")
        self._stub.tell(slack_words.callback(event, id=f"Ev{number}"))

    async def breaks(self, how):
        match how:
            case "closed":
                for socket in list(self._stub.sockets):
                    self._nursery.start_soon(socket.close)
            case "reset":
                for socket in list(self._stub.sockets):
                    socket.abort()
            case "silent":
                self._stub.goes_silent()
            case "sent away":
                if self._stub.sockets:
                    self._nursery.start_soon(self._refresh)

    def goes_down(self):
        self._up = trio.Event()
        self._down.set()

    def comes_back(self):
        self._down = trio.Event()
        self._up.set()

    def wants_other_credentials(self):
        self._wrong = True

    def loses_the_next_answer(self):
        self._stub.hangs_up("chat.postMessage", after=True)

    async def _refresh(self):
        """Announce the end of a connection, and end it when the next one is there, as Slack does."""
        old, connections = list(self._stub.sockets), self._stub.connections
        await self._stub.say({"type": "disconnect", "reason": "refresh_requested"})
        await self._stub.until(lambda: self._stub.connections > connections)
        for socket in old:
            await socket.close()

    async def _serve(self, *, task_status):
        while True:
            await self._up.wait()
            async with self._stub.open():
                if self._first:
                    task_status.started()
                    self._first = False
                await self._down.wait()


class Socket:
    """A program with a WebSocket."""

    on_loopback = True

    @staticmethod
    def open():
        settings = SocketSettings(tokens={"ada": Secret("env:T", "t0ken")})
        return socket_client(lambda kit: WebSocketChannel("it", settings, kit), "ada", Authorization="Bearer t0ken")


class Webchat:
    """A page in a browser on this machine."""

    on_loopback = True

    @staticmethod
    def open():
        return socket_client(lambda kit: WebchatChannel("it", WebchatSettings(), kit), "local")


class Grpc:
    """A program with a call that is open for long."""

    on_loopback = False

    open = staticmethod(grpc_client)


PLATFORMS = {
    "grpc": Grpc,
    "irc": Irc,
    "matrix": Matrix,
    "slack-events": SlackEvents,
    "slack-socket": SlackSocket,
    "webhook": Webhook,
    "websocket": Socket,
    "webchat": Webchat,
}
