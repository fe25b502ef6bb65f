"""A program that holds a `Converse` call as the service's comments advise it: it comes back after whatever ended the
call, repeats what was not acknowledged, and knows a reply again by its id. In memory, with our own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from grpclib.exceptions import GRPCError
from trio.testing import memory_stream_pair

from gateway.api.rpc.messages import GatewayService
from gateway.api.v1 import gateway_pb2 as pb
from gateway.api.v1 import message_pb2 as form
from gateway.api.v1.gateway_grpc import GatewayStub
from gateway.channels.grpc import GrpcChannel
from gateway.channels.grpc_settings import Settings
from gateway.config.secret import Secret
from gateway.message.message import Conversation, Message
from gateway.ports import Kit
from gateway.testing.channels import FakeInlet, FakeResults
from protocols.grpc.calls import Calls
from protocols.grpc.client_call import ClientCall
from protocols.grpc.server import methods_of, serve_h2
from protocols.http2.connection import Connection
from protocols.http2.events import Headers
from protocols.http2.limits import Limits
from protocols.http2.stream import Stream
from tests.channels.unsaid import Unsaid

_AGAIN_SECONDS = 1.0
_TOKEN = {"authorization": "Bearer t0ken"}
_PRELUDE: Headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"here")]


class Wire:
    """One connection to the gateway, on which stubs make calls; as much of a channel as they use."""

    def __init__(self, service: GatewayService) -> None:
        self.ours, theirs = memory_stream_pair()
        self.draining, self.calls = trio.Event(), Calls(["/oclaw.v1.Gateway/Converse"])
        self._theirs, self._methods = theirs, methods_of([service])
        self.connection = Connection(self.ours, Limits(keepalive_seconds=3600.0), answer=None)

    async def serve(self) -> None:
        await serve_h2(self._theirs, b"", self._methods, draining=self.draining, calls=self.calls)

    def request(self, path: str, cardinality: Any, sent: Any, heard: Any, **options: Any) -> ClientCall:
        metadata = options.get("metadata")
        return ClientCall(
            self, path, cardinality, sent, heard, at=None, metadata=metadata, most_bytes=2**22, compress=False
        )

    async def open_stream(self, path: str, headers: Headers, *, end: bool) -> tuple[Connection, Stream]:
        whole = [*_PRELUDE, (b":path", path.encode()), *headers]
        return self.connection, await self.connection.open(whole, end=end)

    def goes_deaf(self) -> None:
        """Read nothing more; the connection stays open."""
        self.ours.receive_stream.receive_some = _never


async def _never(most: int | None = None) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


class GrpcClient:
    """Implements `gateway.testing.connection_contract.Platform`. Says one thing at a time, so that order is kept."""

    keeps = True

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._channels: list[GrpcChannel] = []
        self._service = GatewayService(lambda: self._channels, FakeResults())
        self._unsaid = Unsaid(self._say)
        self._texts: dict[str, str] = {}
        self._last = 0
        self._call: Any = None
        self._wire: Wire | None = None
        self._up, self._over = trio.Event(), trio.Event()
        self._up.set()
        self._loses = False

    # -- what a test does ----------------------------------------------------------------------------

    def channel(self, kit: Kit, inlet: FakeInlet) -> GrpcChannel:
        self._channels = [GrpcChannel("it", Settings(tokens={"till": Secret("env:T", "t0ken")}), kit)]
        return self._channels[0]

    def reply(self, text: str) -> Message:
        return Message(channel="it", content=text, conversation=Conversation("main"))

    def heard(self) -> list[str]:
        return list(self._texts.values())

    async def says(self, text: str) -> None:
        await self._unsaid.add(text)

    async def breaks(self, how: str) -> None:
        wire = self._wire
        if wire is None:
            return
        match how:
            case "closed":
                self._over.set()
            case "sent away":
                wire.draining.set()
                wire.calls.end("The gateway is shutting down.")
            case "reset":
                await trio.aclose_forcefully(wire.ours)
            case "silent":
                wire.goes_deaf()
                self._nursery.start_soon(_give_up, self._over)

    def goes_down(self) -> None:
        self._up = trio.Event()
        self._over.set()

    def comes_back(self) -> None:
        self._up.set()

    def loses_the_next_answer(self) -> None:
        self._loses = True

    # -- the client ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Be connected, again and again."""
        while True:
            while not self._up.is_set():
                await self._up.wait()
            self._over = trio.Event()
            await self._connect(self._over)
            self._call = self._wire = None
            await trio.sleep(_AGAIN_SECONDS)

    async def _connect(self, over: trio.Event) -> None:
        wire = Wire(self._service)
        # A connection that nobody reads any more is the server's to find out about.
        self._nursery.start_soon(wire.serve)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until, over, nursery.cancel_scope)
                nursery.start_soon(wire.connection.run)
                await wire.connection.established()
                self._wire = wire
                async with GatewayStub(wire).Converse.open(metadata=_TOKEN) as call:  # type: ignore[arg-type]
                    await self._talk(call)
                nursery.cancel_scope.cancel()
        except* GRPCError:
            pass

    async def _talk(self, call: Any) -> None:
        await call.send_message(pb.ConverseRequest(hello=pb.Hello(after=self._last, confirms=True)))
        async for response in call:
            match response.WhichOneof("kind"):
                case "ready":
                    self._call = call
                    await self._unsaid.again()
                case "accepted":
                    await self._unsaid.acknowledged(response.accepted.ref)
                case "refused":
                    seconds = response.refused.retry_after.ToTimedelta().total_seconds()
                    self._nursery.start_soon(self._unsaid.later, max(seconds, 0.1))
                case "event":
                    await self._hear(call, response.event)

    async def _hear(self, call: Any, event: pb.Event) -> None:
        self._texts.setdefault(event.reply.id, event.reply.message.content)
        if self._loses:
            self._loses = False
            self._over.set()
            return
        self._last = event.sequence
        await call.send_message(pb.ConverseRequest(seen=pb.Seen(sequence=event.sequence)))

    async def _say(self, ref: str, text: str) -> None:
        if self._call is not None:
            where = form.Conversation(id="main")
            said = form.Message(content=text, conversation=where, dedupe_key=ref)
            try:
                await self._call.send_message(pb.ConverseRequest(message=pb.Outgoing(ref=ref, message=said)))
            except GRPCError:
                # Said again in the next call.
                pass


async def _until(over: trio.Event, scope: trio.CancelScope) -> None:
    await over.wait()
    scope.cancel()


async def _give_up(over: trio.Event) -> None:
    await trio.sleep(30)
    over.set()


@asynccontextmanager
async def grpc_client() -> AsyncIterator[GrpcClient]:
    """Run a client while the block runs."""
    async with trio.open_nursery() as nursery:
        client = GrpcClient(nursery)
        nursery.start_soon(client.run)
        yield client
        nursery.cancel_scope.cancel()
