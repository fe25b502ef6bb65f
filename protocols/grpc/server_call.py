"""One call as its handler sees it: the stream object that grpclib's generated service bases expect.

Trailers are sent here and nowhere else. What a handler may raise and what becomes of it is decided in
`server.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import trio
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from protocols.grpc.deadline import Deadline
from protocols.grpc.errors import CallMisused, MessageError, MessageTooLarge
from protocols.grpc.framing import Unpacker, pack
from protocols.grpc.metadata import Metadata, MetadataLike, decode_metadata, encode_metadata
from protocols.grpc.status import encode_status
from protocols.http2.events import Headers
from protocols.http2.frames import ErrorCode
from protocols.http2.stream import Stream

_RESPONSE: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_RESPONSE_GZIP: Headers = [
    *_RESPONSE,
    (b"grpc-encoding", b"gzip"),
    (b"grpc-accept-encoding", b"identity,gzip"),
]
# A checkpoint per message would split batches; one every 32 keeps a busy stream from starving the others.
READS_PER_CHECKPOINT = 32


class ServerCall:
    """Duck-typed as grpclib.server.Stream. `Any`: messages are whatever the generated code says."""

    __slots__ = (
        "_awaited", "_handler", "_headers_sent", "_kept_bytes", "_messages_sent", "_reads", "_stream", "_unpacker",
        "compress", "deadline", "finished", "metadata", "status", "user_agent", )  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        handler: Handler,
        headers: dict[bytes, bytes],
        *,
        deadline: Deadline | None,
        most_bytes: int,
    ) -> None:
        """Raises MetadataError when the request's metadata is malformed."""
        encoding = headers.get(b"grpc-encoding", b"identity")
        self._stream = stream
        self._handler = handler
        self._unpacker = Unpacker(most_bytes=most_bytes, encoding=encoding)
        self._headers_sent = False
        self._messages_sent = 0
        self._reads = 0
        self._kept_bytes = 0
        # The scope whose deadline is the request's, and what it is once the request is there.
        self._awaited: tuple[trio.CancelScope, float] | None = None
        self.deadline = deadline
        self.metadata: Metadata = decode_metadata(stream.headers or [])
        self.user_agent = headers.get(b"user-agent", b"").decode("utf-8", "replace")
        self.finished = False
        # Known once trailers are queued.
        self.status: Status | None = None
        # Answer in the encoding the caller uses, if it reads it too.
        self.compress = encoding == b"gzip" and b"gzip" in headers.get(b"grpc-accept-encoding", b"")

    async def recv_message(self) -> Any:
        """The next message, None at the end of the caller's side. Raises GRPCError for a malformed one."""
        self._reads += 1
        if self._reads % READS_PER_CHECKPOINT == 0:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        message = await self._next_message()
        if self._awaited is not None:
            self._arrived(*self._awaited)
        if message is None:
            return None
        try:
            return self._handler.request_type.FromString(message)
        except Exception as error:
            raise GRPCError(Status.INTERNAL, "A message is not valid protobuf of its type.") from error

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send_initial_metadata(self, *, metadata: MetadataLike | None = None) -> None:
        """Response headers; sent with the first message when not called before."""
        if self._headers_sent:
            raise CallMisused("The initial metadata was already sent.")
        self._send_headers(encode_metadata(metadata))

    async def send_message(self, message: Any) -> None:
        """Queue one message; waits while the caller does not read. A second reply to a unary caller is
        refused.
        """
        packed = self._packed(message)
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._stream.send(packed)
        self._messages_sent += 1

    def send_message_now(self, message: Any) -> bool:
        """Queue one message if there is room for it now; False: it was not queued. Never a checkpoint."""
        if not self._stream.send_now(self._packed(message)):
            return False
        self._stream.flush()
        self._messages_sent += 1
        return True

    async def send_trailing_metadata(
        self,
        *,
        status: Status = Status.OK,
        status_message: str | None = None,
        status_details: Sequence[Any] | None = None,
        metadata: MetadataLike | None = None,
    ) -> None:
        """End the call. Called by the server when the handler returns, if the handler did not."""
        if self.finished:
            raise CallMisused("The trailing metadata was already sent.")
        if status is Status.OK and not self._messages_sent and not _streams_replies(self._handler):
            raise CallMisused("A unary call that ends OK needs its reply first.")
        self.finish(status, status_message, status_details, encode_metadata(metadata))

    def expect_request(self, scope: trio.CancelScope, until: float) -> None:
        """Cancel `scope`, in which the handler runs, unless the one message of a request is there by then."""
        self._awaited = (scope, scope.deadline)
        scope.deadline = min(scope.deadline, until)

    def let_go(self) -> None:
        """The call is over: what is kept of its messages is kept no longer."""
        self._keep(0)

    @property
    def left(self) -> bool:
        """True when the caller has gone: by a reset, or with its connection."""
        return self._stream.fault is not None

    async def cancel(self) -> None:
        """Reset the stream without a status (RST_STREAM CANCEL)."""
        self.finished = True
        self._stream.reset(ErrorCode.CANCEL)

    def finish(
        self,
        status: Status,
        message: str | None = None,
        details: Sequence[Any] | None = None,
        metadata: Headers | None = None,
    ) -> None:
        """Queue the trailers, or a response of trailers alone; never a checkpoint."""
        trailers = encode_status(status, message, details) + (metadata or [])
        self.finished = True
        self.status = status
        if self._headers_sent:
            self._stream.end(trailers)
        else:
            self._stream.send_headers(_RESPONSE + trailers, end=True)

    async def sent(self) -> None:
        """Wait until the trailers are on their way."""
        await self._stream.sent()

    def _packed(self, message: Any) -> bytes:
        """A message as it is framed, behind the response's headers."""
        handler = self._handler
        if self.finished:
            raise CallMisused("The call has ended; no message can follow its trailers.")
        if self._messages_sent and not _streams_replies(handler):
            raise CallMisused("A unary reply is a single message, and it was already sent.")
        if not isinstance(message, handler.reply_type):
            raise TypeError(f"The reply must be a {handler.reply_type.__name__}, not a {type(message).__name__}.")
        packed = pack(message.SerializeToString(), compress=self.compress)
        if not self._headers_sent:
            self._send_headers([])
        return packed

    async def _next_message(self) -> bytes | None:
        unpacker = self._unpacker
        try:
            fed = False
            while (message := unpacker.take()) is None:
                self._keep(unpacker.held_bytes)
                piece = await self._stream.receive()
                if not piece and self._stream.ended:
                    unpacker.check_end()
                    return None
                unpacker.feed(piece)
                fed = True
        except MessageTooLarge as error:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, str(error)) from error
        except MessageError as error:
            raise GRPCError(Status.INTERNAL, str(error)) from error
        # What else came in the same piece counts until the last message of it is taken, and once for all of them.
        if fed or not unpacker.held_bytes:
            self._keep(unpacker.held_bytes)
        return message

    def _keep(self, size: int) -> None:
        """So much has been received and is no message yet: acknowledged, or the rest would never come."""
        if size != self._kept_bytes:
            self._stream.held.count(size - self._kept_bytes)
            self._kept_bytes = size

    def _arrived(self, scope: trio.CancelScope, deadline: float) -> None:
        self._awaited = None
        scope.deadline = deadline
        if not self._stream.ended:
            # There is one message in a request; more of them would fill memory for a handler that waits.
            self._stream.discard()

    def _send_headers(self, metadata: Headers) -> None:
        self._headers_sent = True
        self._stream.send_headers((_RESPONSE_GZIP if self.compress else _RESPONSE) + metadata)


def _streams_replies(handler: Handler) -> bool:
    cardinality: Cardinality = handler.cardinality
    return bool(cardinality.server_streaming)
