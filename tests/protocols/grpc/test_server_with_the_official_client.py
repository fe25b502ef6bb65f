"""The official grpcio client, in a thread, against our server on a loopback port."""

from __future__ import annotations

from typing import Any

import grpc
import trio
from google.protobuf.wrappers_pb2 import BytesValue

from tests.protocols.grpc.echo import SERVICE
from tests.protocols.grpc.serving import Server, serving


def method(channel: grpc.Channel, name: str, kind: str = "unary_unary") -> Any:
    return getattr(channel, kind)(
        f"/{SERVICE}/{name}",
        request_serializer=BytesValue.SerializeToString,
        response_deserializer=BytesValue.FromString,
    )


async def calling(server: Server, work: Any, *options: tuple[str, Any], **kwargs: Any) -> Any:
    """Run `work(channel)` in a thread."""

    def inside() -> Any:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options, **kwargs) as channel:
            return work(channel)

    with trio.fail_after(20):
        return await trio.to_thread.run_sync(inside)


async def test_all_four_kinds_of_call_work() -> None:
    def work(channel: grpc.Channel) -> list[Any]:
        words = [BytesValue(value=word) for word in (b"one", b"", b"three")]
        return [
            method(channel, "Unary")(BytesValue(value=b"hi"), timeout=5).value,
            [m.value for m in method(channel, "Split", "unary_stream")(BytesValue(value=b"abc"), timeout=5)],
            method(channel, "Join", "stream_unary")(iter(words), timeout=5).value,
            [m.value for m in method(channel, "Chat", "stream_stream")(iter(words), timeout=5)],
        ]

    async with serving() as server:
        assert await calling(server, work) == [
            b"hi",
            [b"a", b"b", b"c"],
            b"onethree",
            [b"one", b"", b"three"],
        ]
    assert server.bugs == []
