"""One call as its caller sees it: the stream object that grpclib's generated stubs expect.

Its outcome is an exception or none: leaving `async with` waits for the trailers and raises GRPCError unless they say
OK. A deadline covers everything between, and the server hears of a call that is left early.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any

import trio
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from protocols.grpc.deadline import encode_timeout
from protocols.grpc.errors import CallMisused, MessageError, MessageTooLarge, MetadataError
from protocols.grpc.framing import Unpacker, pack
from protocols.grpc.metadata import Metadata, MetadataLike, decode_metadata, encode_metadata
from protocols.grpc.request import Opener, Request, as_grpc_error
from protocols.grpc.status import decode_status, error_for_http
from protocols.http2.events import Headers
from protocols.http2.stream import Stream

_REQUEST: Headers = [
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"grpc-python-trio-oclaw/1"),
    (b"grpc-accept-encoding", b"identity,gzip"),
]
READS_PER_CHECKPOINT = 32


class ClientCall:
    """Duck-typed as grpclib.client.Stream. `Any`: messages are whatever the generated code says."""

    def __init__(
        self, channel: Opener, path: str, cardinality: Cardinality, request_type: Any, reply_type: Any, *,
        at: float | None, metadata: MetadataLike | None, most_bytes: int, compress: bool,
    ) -> None:  # fmt: skip
        self._request = Request(channel, path, self._request_headers)
        self._cardinality = cardinality
        self._request_type = request_type
        self._reply_type = reply_type
        self._at = at
        self._metadata = encode_metadata(metadata)
        self._most_bytes = most_bytes
        self._compress = compress
        self._lifetime: AbstractAsyncContextManager[None] | None = None
        self._unpacker = Unpacker(most_bytes=most_bytes)
        self._reads = 0
        self._outcome_known = False
        self._cancelled = False
        #: Filled when the response's headers and trailers arrive.
        self.initial_metadata: Metadata | None = None
        self.trailing_metadata: Metadata | None = None

    async def __aenter__(self) -> ClientCall:
        self._lifetime = self._live()
        await self._lifetime.__aenter__()
        return self

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[bool | None]:
        assert self._lifetime is not None
        return self._lifetime.__aexit__(kind, error, trace)

    async def send_request(self, *, end: bool = False) -> None:
        """Send the request's headers; the first message does it when this was not called."""
        if self._request.stream is not None:
            raise CallMisused("The request was already sent.")
        if end and not self._cardinality.client_streaming:
            raise CallMisused("A unary request is exactly one message; it cannot end without.")
        await self._request.open(end=end)

    async def send_message(self, message: Any, *, end: bool = False) -> None:
        """Queue one message; waits while the server does not read. Raises the call's error if it has ended."""
        request = self._request
        if request.stream is None:
            await self.send_request()
        if request.ended:
            raise CallMisused("The request has ended; no message can follow.")
        if not isinstance(message, self._request_type):
            raise TypeError(f"The request must be a {self._request_type.__name__}, not a {type(message).__name__}.")
        packed = pack(message.SerializeToString(), compress=self._compress)
        await trio.lowlevel.checkpoint_if_cancelled()
        await request.send(packed)
        if end or not self._cardinality.client_streaming:
            request.end()
        elif request.opened().ended:
            # The server has answered without waiting for the rest: its status is what the caller wants.
            await self.recv_trailing_metadata()

    async def end(self) -> None:
        """No more messages will be sent."""
        self._request.opened()
        if not self._request.ended:
            self._request.end()

    async def recv_initial_metadata(self) -> None:
        """Wait for the response's headers. Raises GRPCError when they already tell of a failure."""
        headers = await self._request.response_headers()
        if self.initial_metadata is None:
            self._judge(headers)

    async def recv_message(self) -> Any:
        """The next message, None when there is none left. Raises GRPCError."""
        if self.initial_metadata is None:
            await self.recv_initial_metadata()
        self._reads += 1
        if self._reads % READS_PER_CHECKPOINT == 0:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        message = await self._next_message(self._request.opened())
        return None if message is None else _parse(self._reply_type, message)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def recv_trailing_metadata(self) -> None:
        """Read the response to its end; raises GRPCError unless it ended OK."""
        if self.initial_metadata is None:
            await self.recv_initial_metadata()
        stream = self._request.opened()
        with as_grpc_error():
            while not stream.ended:
                await stream.receive()
        self._read_outcome(stream)

    async def cancel(self) -> None:
        """Give the call up; the server's handler is cancelled."""
        self._cancelled = True
        self._request.release()

    # -- below: the life of a call

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[None]:
        with trio.CancelScope(deadline=float("inf") if self._at is None else self._at) as scope:
            try:
                yield
                if self._request.stream is not None and not self._outcome_known and not self._cancelled:
                    await self.recv_trailing_metadata()
            finally:
                self._request.release()
        if scope.cancelled_caught:
            raise GRPCError(Status.DEADLINE_EXCEEDED, "The call's deadline passed.")

    def _request_headers(self) -> Headers:
        headers = list(_REQUEST)
        if self._at is not None:
            headers.append((b"grpc-timeout", encode_timeout(self._at - trio.current_time())))
        if self._compress:
            headers.append((b"grpc-encoding", b"gzip"))
        return headers + self._metadata

    def _judge(self, headers: Headers) -> None:
        fields = dict(headers)
        if fields.get(b":status") != b"200":
            self._fail(error_for_http(fields.get(b":status", b"")))
        if not fields.get(b"content-type", b"").startswith(b"application/grpc"):
            self._fail(GRPCError(Status.UNKNOWN, "The server's answer is not gRPC (its content-type says so)."))
        self._unpacker = Unpacker(most_bytes=self._most_bytes, encoding=fields.get(b"grpc-encoding", b"identity"))
        if b"grpc-status" in fields:
            self.initial_metadata = Metadata()
            self._conclude(headers)
            return
        try:
            self.initial_metadata = decode_metadata(headers)
        except MetadataError as error:
            self._fail(GRPCError(Status.INTERNAL, str(error)))

    def _read_outcome(self, stream: Stream) -> None:
        if not self._outcome_known:
            self._conclude(stream.trailers or [])

    def _conclude(self, trailers: Headers) -> None:
        self._outcome_known = True
        error = decode_status(trailers)
        try:
            self.trailing_metadata = decode_metadata(trailers)
        except MetadataError as fault:
            # The status is worth more than what comes with it.
            error = error or GRPCError(Status.INTERNAL, str(fault))
        if error is not None:
            raise error

    def _fail(self, error: GRPCError) -> None:
        self._outcome_known = True
        raise error

    async def _next_message(self, stream: Stream) -> bytes | None:
        unpacker = self._unpacker
        try:
            while (message := unpacker.take()) is None:
                with as_grpc_error():
                    piece = await stream.receive()
                if not piece and stream.ended:
                    unpacker.check_end()
                    return None
                unpacker.feed(piece)
        except MessageTooLarge as error:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, str(error)) from error
        except MessageError as error:
            raise GRPCError(Status.INTERNAL, str(error)) from error
        return message


def _parse(reply_type: Any, message: bytes) -> Any:
    try:
        return reply_type.FromString(message)
    except Exception as error:
        raise GRPCError(Status.INTERNAL, "The reply is not valid protobuf of its type.") from error
