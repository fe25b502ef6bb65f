"""Our channel against servers that no library would be: whatever they answer becomes a status."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from google.protobuf.wrappers_pb2 import BytesValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from protocols.grpc.channel import Channel, open_channel
from protocols.grpc.framing import pack
from protocols.http2.events import Header, Headers
from protocols.http2.server import serve_connection
from protocols.http2.stream import Stream
from tests.protocols.grpc.echo import EchoStub

HEAD: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
BAD: Header = (b"trace-bin", b"!!!")


@asynccontextmanager
async def answering(head: Headers, trailers: Headers) -> AsyncIterator[Channel]:
    """A channel to a server whose every answer is this, around an empty message if there are trailers."""

    async def answer(stream: Stream) -> None:
        stream.send_headers(head, end=not trailers)
        if trailers:
            stream.send_now(pack(b""))
            stream.end(trailers)
        await stream.sent()

    async with trio.open_nursery() as nursery:
        serve = partial(serve_connection, answer=answer)
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        async with open_channel(*listeners[0].socket.getsockname()[:2]) as channel:
            yield channel
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("head", "trailers", "status"),
    [
        ([*HEAD, BAD], [(b"grpc-status", b"0")], Status.INTERNAL),
        (HEAD, [(b"grpc-status", b"0"), BAD], Status.INTERNAL),
        (HEAD, [(b"grpc-status", b"5"), BAD], Status.NOT_FOUND),
        ([*HEAD, (b"grpc-status", b"5"), BAD], [], Status.NOT_FOUND),
    ],
    ids=["at the beginning", "after a good end", "after an error", "with nothing but an error"],
)
async def test_metadata_that_is_no_base64_is_the_calls_error_unless_it_has_one(
    head: Headers, trailers: Headers, status: Status
) -> None:
    async with answering(head, trailers) as channel:
        with pytest.raises(GRPCError) as caught:
            await EchoStub(channel).Unary(BytesValue())
    assert caught.value.status is status
    assert (status is Status.INTERNAL) == ("'trace-bin' is not valid base64" in (caught.value.message or ""))
