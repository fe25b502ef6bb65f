"""A program on a WebSocket as the channel's README advises it to be: it comes back, repeats what was not acknowledged,
and knows a reply again by its id."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from gateway.api.channels import ChannelsEndpoint, Door, door_to
from gateway.api.router import Router
from gateway.message.message import Conversation, Message
from gateway.ports import Kit
from gateway.testing.channels import FakeInlet, FakeResults, bench
from protocols.errors import HandshakeRefused, HttpClientError, WebSocketClosed
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp
from protocols.websocket.client import open_websocket
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.keepalive import keep_alive
from tests.channels.unsaid import Unsaid

_AGAIN_SECONDS = 1.0


class SocketClient:
    """Implements `gateway.testing.connection_contract.Platform`. Says one thing at a time, so that order is kept."""

    keeps = True

    def __init__(self, nursery: trio.Nursery, make: Callable[[Kit], Any], holder: str, headers: dict[str, str]) -> None:
        self._nursery, self._make, self._holder = nursery, make, holder
        self._headers = tuple(headers.items())
        self.doors: dict[str, Door] = {}
        self.port = 0
        self._unsaid = Unsaid(self._say)
        self._texts: dict[str, str] = {}
        self._last: int | None = None
        self._socket: WebSocketConnection | None = None
        self._up, self._over = trio.Event(), trio.Event()
        self._up.set()
        self._deaf: set[WebSocketConnection] = set()
        self._loses = False

    # -- what a test does ----------------------------------------------------------------------------

    def channel(self, kit: Kit, inlet: FakeInlet) -> Any:
        it = self._make(kit)
        self.doors[it.name] = door_to(it, inlet)
        return it

    def reply(self, text: str) -> Message:
        return Message(channel="it", content=text, conversation=Conversation(f"{self._holder}/main"))

    def heard(self) -> list[str]:
        return list(self._texts.values())

    async def says(self, text: str) -> None:
        await self._unsaid.add(text)

    async def breaks(self, how: str) -> None:
        socket = self._socket
        if socket is None:
            return
        match how:
            case "closed":
                self._nursery.start_soon(_closed, socket, 1000)
            case "sent away":
                self._nursery.start_soon(_closed, socket, 1001)
            case "reset":
                socket.abort()
            case "silent":
                self._deaf.add(socket)
                self._over.set()

    def goes_down(self) -> None:
        self._up = trio.Event()
        if self._socket is not None:
            self._socket.abort()

    def comes_back(self) -> None:
        self._up.set()

    def loses_the_next_answer(self) -> None:
        self._loses = True

    # -- the client ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Be connected, again and again."""
        while True:
            await self._up.wait()
            self._over = trio.Event()
            self._nursery.start_soon(self._connect, self._over)
            await self._over.wait()
            self._socket = None
            await trio.sleep(_AGAIN_SECONDS)

    async def _connect(self, over: trio.Event) -> None:
        try:
            url = f"ws://127.0.0.1:{self.port}/channels/it"
            async with open_websocket(url, headers=self._headers) as socket, trio.open_nursery() as nursery:
                nursery.start_soon(partial(keep_alive, socket, every_seconds=20.0))
                await self._talk(socket)
                nursery.cancel_scope.cancel()
        except* (HandshakeRefused, HttpClientError, WebSocketClosed):
            pass
        finally:
            over.set()

    async def _talk(self, socket: WebSocketConnection) -> None:
        await _send(socket, "hello", data={"conversation": "main", "last": self._last, "acks": True})
        while True:
            frame = json.loads(await socket.receive())
            if socket in self._deaf:
                # The socket stays open; nobody is at the other end any more.
                await trio.sleep_forever()
            await self._obey(frame, socket)

    async def _obey(self, frame: dict[str, Any], socket: WebSocketConnection) -> None:
        match frame["type"]:
            case "welcome" if not self._up.is_set():
                socket.abort()
            case "welcome":
                self._socket = socket
                await self._unsaid.again()
            case "ack":
                await self._unsaid.acknowledged(frame["id"])
            case "busy":
                self._nursery.start_soon(self._unsaid.later, frame["data"]["retry_after"])
            case "reply" | "reply.end":
                self._texts.setdefault(frame["id"], frame["data"]["text"])
                if self._loses:
                    self._loses = False
                    socket.abort()
                    return
                self._last = frame["seq"]
                await _send(socket, "ack", seq=frame["seq"])

    async def _say(self, id: str, text: str) -> None:
        if self._socket is not None:
            try:
                await _send(self._socket, "message", id=id, data={"text": text})
            except WebSocketClosed:
                # Said again over the next connection.
                pass


async def _send(socket: WebSocketConnection, type: str, **fields: Any) -> None:
    await socket.send(json.dumps({"v": 1, "type": type, **fields}))


async def _closed(socket: WebSocketConnection, code: int) -> None:
    await socket.close(code)


@asynccontextmanager
async def socket_client(make: Callable[[Kit], Any], holder: str, **headers: str) -> AsyncIterator[SocketClient]:
    """Run a client and the gateway's HTTP server while the block runs. `holder` is whose token it has."""
    async with trio.open_nursery() as nursery:
        client = SocketClient(nursery, make, holder, headers)
        others = Router([], nursery, lambda _: None)
        endpoint = ChannelsEndpoint(
            client.doors,
            nursery,
            otherwise=others.dispatch,
            results=FakeResults(),
            now=bench().kit.now,
            report=lambda _: None,
        )
        listener = open_tcp("127.0.0.1", 0)[0]
        client.port = listener.port
        await nursery.start(Hub(endpoint.dispatch, lambda _: None).serve, [listener])
        nursery.start_soon(client.run)
        yield client
        nursery.cancel_scope.cancel()
