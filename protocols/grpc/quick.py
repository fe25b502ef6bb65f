"""Answer unary calls without a task: those whose request is all there and whose answer comes through a callback.

A task, its cancel scope and their switches are half of what a small call costs. Anything out of the ordinary, a
request in pieces or compressed, a bad deadline, is left to the usual way, which also knows how to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio
from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError
from msgspec import Struct

from protocols.grpc.calls import Calls
from protocols.grpc.deadline import decode_timeout
from protocols.grpc.errors import MetadataError
from protocols.grpc.events import CallEnded, HandlerCrashed, Report
from protocols.grpc.framing import PREFIX_BYTES, pack
from protocols.grpc.metadata import Metadata, decode_metadata
from protocols.grpc.status import encode_status
from protocols.http2.events import Headers
from protocols.http2.frames import ErrorCode
from protocols.http2.stream import Stream

Outcome = Callable[[Any], None]
"""Called once, with the reply or a GRPCError; on the spot or later."""
QuickMethod = Callable[[Any, Metadata, Outcome], bool]
"""Gets the request (`Any`: generated). False leaves the call to the usual way, and nothing may have been done."""

_HEAD: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_OK = encode_status(Status.OK)
_ORDINARY = frozenset({b"application/grpc", b"application/grpc+proto"})


class Quick(Struct, frozen=True):
    """The quick methods of a server, by their paths; `handlers` knows the types of the same paths."""

    methods: Mapping[bytes, QuickMethod]
    handlers: Mapping[bytes, Handler]
    most_bytes: int
    report: Report
    calls: Calls

    def take(self, stream: Stream, release: Callable[[], None]) -> bool:
        """Answer a request whose stream has ended, if it is an ordinary one; queues it and calls `release`."""
        headers = dict(stream.headers or [])
        path = headers.get(b":path", b"")
        method = self.methods.get(path)
        body = stream.whole_body()
        if method is None or body is None or self.calls.ended_because or not self._ordinary(headers, body):
            return False
        try:
            request = self.handlers[path].request_type.FromString(body[PREFIX_BYTES:])
            metadata = decode_metadata(stream.headers or [])
        except Exception:
            # The usual way finds the same, and answers it.
            return False
        return _Call(self, path.decode(), stream, release).run(method, request, metadata)

    def _ordinary(self, headers: Mapping[bytes, bytes], body: bytes) -> bool:
        try:
            decode_timeout(headers.get(b"grpc-timeout", b"1S"))
        except MetadataError:
            return False
        size = len(body) - PREFIX_BYTES
        return (
            headers.get(b":method") == b"POST"
            and headers.get(b"content-type") in _ORDINARY
            and headers.get(b"grpc-encoding", b"identity") == b"identity"
            and 0 <= size <= self.most_bytes
            and body[:PREFIX_BYTES] == size.to_bytes(PREFIX_BYTES)
        )


class _Call:
    """One call from its request to its trailers."""

    __slots__ = ("_began", "_path", "_quick", "_release", "_stream", "_told")

    def __init__(self, quick: Quick, path: str, stream: Stream, release: Callable[[], None]) -> None:
        self._quick, self._path, self._stream, self._release = quick, path, stream, release
        self._began = trio.current_time()
        self._told = False

    def run(self, method: QuickMethod, request: Any, metadata: Metadata) -> bool:
        """Call the method; whatever it raises is the call's end, as of any handler."""
        self._quick.calls.begin()
        try:
            taken = method(request, metadata, self._tell)
        except GRPCError as error:
            self._tell(error)
            return True
        except Exception as error:
            self._quick.report(HandlerCrashed(self._path, error))
            self._tell(GRPCError(Status.INTERNAL, "The server failed to handle the call."))
            return True
        if not taken:
            self._quick.calls.done()
        return taken

    def _tell(self, outcome: Any) -> None:
        if self._told:
            return
        self._told = True
        status: Status | None = None
        if self._stream.fault is None:
            try:
                self._send(outcome)
                status = outcome.status if isinstance(outcome, GRPCError) else Status.OK
            except Exception as error:
                # It must not reach whoever calls back: they have others to serve.
                self._quick.report(HandlerCrashed(self._path, error))
                self._stream.reset(ErrorCode.INTERNAL_ERROR)
        self._quick.calls.done()
        self._release()
        self._stream.flush()
        self._quick.report(CallEnded(self._path, status, trio.current_time() - self._began))

    def _send(self, outcome: Any) -> None:
        stream = self._stream
        if isinstance(outcome, GRPCError):
            trailers = encode_status(outcome.status, outcome.message, outcome.details)
            stream.send_headers(_HEAD + trailers, end=True)
        else:
            stream.send_headers(_HEAD)
            stream.send_now(pack(outcome.SerializeToString()))
            stream.end(_OK)
