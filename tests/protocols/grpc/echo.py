"""A small service in the shape grpclib's generator gives, on a well-known message type, for both sides of
the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trio
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.client import StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

SERVICE = "test.Echo"


class EchoStub:
    def __init__(self, channel: Any) -> None:
        self.Unary = UnaryUnaryMethod(channel, f"/{SERVICE}/Unary", BytesValue, BytesValue)
        self.Split = UnaryStreamMethod(channel, f"/{SERVICE}/Split", BytesValue, BytesValue)
        self.Join = StreamUnaryMethod(channel, f"/{SERVICE}/Join", BytesValue, BytesValue)
        self.Chat = StreamStreamMethod(channel, f"/{SERVICE}/Chat", BytesValue, BytesValue)
        self.Wait = UnaryUnaryMethod(channel, f"/{SERVICE}/Wait", BytesValue, BytesValue)
        self.Fail = UnaryUnaryMethod(channel, f"/{SERVICE}/Fail", BytesValue, BytesValue)
        self.Tell = UnaryUnaryMethod(channel, f"/{SERVICE}/Tell", BytesValue, BytesValue)
        self.Refuse = StreamUnaryMethod(channel, f"/{SERVICE}/Refuse", BytesValue, BytesValue)


class Echo:
    """Unary echoes, Split sends each byte, Join concatenates, Chat echoes each message, the rest misbehave."""

    def __init__(self) -> None:
        self.running = 0
        self.started = trio.Event()
        self.go = trio.Event()
        self.cancelled = 0

    async def Unary(self, stream: Any) -> None:
        message = await stream.recv_message()
        await stream.send_message(BytesValue(value=message.value))

    async def Split(self, stream: Any) -> None:
        message = await stream.recv_message()
        for byte in message.value:
            await stream.send_message(BytesValue(value=bytes([byte])))

    async def Join(self, stream: Any) -> None:
        await stream.send_message(BytesValue(value=b"".join([message.value async for message in stream])))

    async def Chat(self, stream: Any) -> None:
        async for message in stream:
            await stream.send_message(message)

    async def Both(self, stream: Any) -> None:
        """Read and write in tasks of their own."""

        async def read() -> None:
            async for message in stream:
                await stream.send_message(message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(read)

    async def Wait(self, stream: Any) -> None:
        self.running += 1
        self.started.set()
        try:
            await self.go.wait()
            await stream.send_message(await stream.recv_message())
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def Fail(self, stream: Any) -> None:
        message = await stream.recv_message()
        kind = message.value.decode()
        if kind == "bug":
            raise RuntimeError("the secret inside")
        if kind == "rich":
            from google.rpc.error_details_pb2 import RetryInfo

            raise GRPCError(Status.RESOURCE_EXHAUSTED, "später", [RetryInfo(retry_delay={"seconds": 3})])
        if kind == "odd":
            raise GRPCError(Status.NOT_FOUND, "details must be messages", ["and not text"])
        if kind == "nested":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_refuse)
        raise GRPCError(Status.NOT_FOUND, "Es gibt kein “Füllhorn” 100%\n")

    async def Tell(self, stream: Any) -> None:
        """Send back what came in as metadata, early and late."""
        await stream.recv_message()
        pairs = list(stream.metadata.items())
        await stream.send_initial_metadata(metadata=pairs)
        await stream.send_message(BytesValue(value=repr(sorted(pairs, key=str)).encode()))
        await stream.send_trailing_metadata(metadata=[("late", "yes"), *pairs])

    async def Refuse(self, stream: Any) -> None:
        """Fail without reading a byte of what is being sent."""
        raise GRPCError(Status.PERMISSION_DENIED, "not you")

    def __mapping__(self) -> Mapping[str, Handler]:
        kinds = {
            "Unary": Cardinality.UNARY_UNARY,
            "Split": Cardinality.UNARY_STREAM,
            "Join": Cardinality.STREAM_UNARY,
            "Chat": Cardinality.STREAM_STREAM,
            "Both": Cardinality.STREAM_STREAM,
            "Wait": Cardinality.UNARY_UNARY,
            "Fail": Cardinality.UNARY_UNARY,
            "Tell": Cardinality.UNARY_UNARY,
            "Refuse": Cardinality.STREAM_UNARY,
        }
        return {
            f"/{SERVICE}/{name}": Handler(getattr(self, name), kind, BytesValue, BytesValue)
            for name, kind in kinds.items()
        }


async def _refuse() -> None:
    raise GRPCError(Status.FAILED_PRECONDITION, "from a nursery")
