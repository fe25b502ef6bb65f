"""A hub on an ephemeral port with channels behind it, and clients of both kinds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from gateway.api.channels import ChannelsEndpoint, Door, door_to
from gateway.api.router import Router
from gateway.notices import Notice
from gateway.ports import Refused
from gateway.testing.channels import FakeInlet, FakeResults, bench
from protocols.errors import WebSocketClosed
from protocols.http_client.client import HttpClient
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_tcp
from protocols.transport.watch import open_watch
from protocols.websocket.client import open_websocket
from protocols.websocket.connection import WebSocketConnection


class House:
    """What a test sees of the running endpoint."""

    def __init__(
        self, port: int, doors: dict[str, Door], changing: dict[str, Door], results: FakeResults, notices: list[Notice]
    ) -> None:
        self.port, self.doors, self.changing, self.results, self.notices = port, doors, changing, results, notices
        self.url = f"http://127.0.0.1:{port}"
        self.http = HttpClient()

    def inlet(self, name: str = "it") -> FakeInlet:
        inlet = self.doors[name].inlet
        assert isinstance(inlet, FakeInlet)
        return inlet

    async def post(self, path: str, payload: Any, **headers: str) -> Any:
        fields = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        with trio.fail_after(60):
            return await self.http.request(
                "POST", self.url + path, headers=tuple(fields.items()), body=json.dumps(payload).encode()
            )

    async def get(self, path: str) -> Any:
        with trio.fail_after(60):
            return await self.http.request("GET", self.url + path)

    @asynccontextmanager
    async def dial(self, name: str = "it", **headers: str) -> AsyncIterator[Client]:
        fields = tuple((key.replace("_", "-"), value) for key, value in headers.items())
        with trio.fail_after(60):
            async with open_websocket(f"ws://127.0.0.1:{self.port}/channels/{name}", headers=fields) as connection:
                yield Client(connection)


class Client:
    """Speaks frames."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def say(self, type: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"v": 1, "type": type, **fields}))

    async def hear(self) -> Any:
        return json.loads(await self.connection.receive())

    async def hello(self, **data: Any) -> Any:
        await self.say("hello", data=data)
        return await self.hear()

    async def end(self) -> int:
        """Return the code that the connection is closed with."""
        try:
            while True:
                await self.connection.receive()
        except WebSocketClosed as closed:
            return closed.code


@asynccontextmanager
async def open_house(
    *channels: Any, full: Callable[[], Refused | None] = lambda: None, reluctant: Callable[[], bool] = lambda: False
) -> AsyncIterator[House]:
    notices: list[Notice] = []
    doors: dict[str, Door] = {}
    changing: dict[str, Door] = {}
    results = FakeResults()
    async with open_watch() as watch, trio.open_nursery() as nursery:
        others = Router([], nursery, notices.append)
        endpoint = ChannelsEndpoint(
            doors,
            nursery,
            otherwise=others.dispatch,
            results=results,
            now=bench().kit.now,
            report=notices.append,
            full=full,
            in_step=watch.in_step,
            changing=changing,
        )
        listener = open_tcp("127.0.0.1", 0)[0]
        await nursery.start(Hub(endpoint.dispatch, notices.append, reluctant=reluctant).serve, [listener])
        for channel in channels:
            inlet = FakeInlet()
            doors[channel.name] = door_to(channel, inlet)
            await nursery.start(channel.run, inlet)
        yield House(listener.port, doors, changing, results, notices)
        nursery.cancel_scope.cancel()
