"""Serve routes on the real HTTP hub over a Unix socket, and ask it as a client would."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import h11
import msgspec
import pytest
import trio

from gateway.api.router import Router
from protocols.hub.hub import Hub
from protocols.transport.listeners import open_unix


class Caller:
    """A client of one Unix socket; every request has a connection of its own."""

    def __init__(self, path, notices):
        self.path, self.notices = path, notices

    async def ask(self, method, target, body=b"", **headers):
        async with self.open(method, target, body, **headers) as answer:
            answer.body = b"".join([piece async for piece in answer.pieces()])
            if answer.body and answer.headers["content-type"] in ("application/json", "application/problem+json"):
                answer.json = msgspec.json.decode(answer.body)
        return answer

    @asynccontextmanager
    async def open(self, method, target, body=b"", **headers):
        machine = h11.Connection(h11.CLIENT)
        fields = {"Host": "localhost", "Content-Length": str(len(body)), "Connection": "close", **headers}
        stream = await trio.open_unix_socket(self.path)
        async with stream:
            request = h11.Request(method=method, target=target, headers=list(fields.items()))
            await stream.send_all(
                machine.send(request) + (machine.send(h11.Data(body)) or b"") + machine.send(h11.EndOfMessage())
            )
            head = await self._next(machine, stream)
            answer = SimpleNamespace(status=head.status_code)
            answer.headers = {name.decode(): value.decode() for name, value in head.headers}
            answer.pieces = lambda: self._pieces(machine, stream)
            yield answer

    async def _pieces(self, machine, stream):
        while isinstance(event := await self._next(machine, stream), h11.Data):
            yield bytes(event.data)

    async def _next(self, machine, stream):
        while (event := machine.next_event()) is h11.NEED_DATA:
            machine.receive_data(await stream.receive_some())
        return event


@pytest.fixture
async def serve(tmp_path):
    """Give `serve(routes) -> Caller`; everything it serves ends with the test."""
    sockets = []
    async with trio.open_nursery() as nursery:

        async def begin(routes):
            notices = []
            router = Router(routes, nursery, notices.append)
            path = tmp_path / f"{len(sockets)}.sock"
            sockets.append(path)
            hub = Hub(router.dispatch, lambda event: notices.append(event))
            await nursery.start(hub.serve, [open_unix(path)])
            return Caller(path, notices)

        yield begin
        nursery.cancel_scope.cancel()
