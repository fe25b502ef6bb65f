"""Answer gRPC calls on one HTTP/2 connection: find the handler, keep its deadline, turn its end into a
status.

A handler's bug becomes INTERNAL without a word about its inside; the exception itself goes to `report`.
Nothing a handler does reaches the connection's nursery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec
import trio
from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError

from protocols.grpc.calls import Calls
from protocols.grpc.deadline import Deadline, decode_timeout
from protocols.grpc.errors import MetadataError
from protocols.grpc.events import CallEnded, CallRefused, HandlerCrashed, Report, ignore
from protocols.grpc.framing import ENCODINGS
from protocols.grpc.quick import Quick, QuickMethod
from protocols.grpc.server_call import ServerCall
from protocols.grpc.status import encode_status
from protocols.http2.errors import Http2Error, PeerBrokeRules
from protocols.http2.events import Headers
from protocols.http2.frames import ErrorCode
from protocols.http2.held import Held
from protocols.http2.limits import Limits
from protocols.http2.server import serve_connection
from protocols.http2.stream import Stream

Methods = Mapping[bytes, Handler]
# gRPC's customary default; a caller that sends more hears RESOURCE_EXHAUSTED.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# Trailers of a call past its deadline wait this long for a caller that does not read, then the stream is
# reset.
TRAILER_SECONDS = 1.0


class Service(Protocol):
    """What grpclib's generated service bases are."""

    def __mapping__(self) -> Mapping[str, Handler]: ...


class GrpcLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one call may cost; the connection's limits are in `http2`."""

    max_message_bytes: int = MAX_MESSAGE_BYTES
    # Anybody may ask the standard services (health, reflection), without a token; their requests are a few names.
    max_standard_message_bytes: int = 64 * 1024
    # And what all such calls of a connection make us keep: sixteen of the largest requests, where clients send one.
    max_standard_held_bytes: int = 1024 * 1024
    # A request of one message must be there after this long: the largest one at 1 Mbit/s takes half of it.
    request_seconds: float = 60.0


def methods_of(services: Iterable[Service]) -> Methods:
    """The paths that are served; make it once and share it between connections."""
    return {path.encode(): handler for service in services for path, handler in service.__mapping__().items()}


async def serve_h2(
    transport: trio.abc.Stream,
    already_read: bytes,
    methods: Methods,
    *,
    limits: GrpcLimits | None = None,
    http2: Limits | None = None,
    report: Report | None = None,
    draining: trio.Event | None = None,
    calls: Calls | None = None,
    quick: Mapping[bytes, QuickMethod] | None = None,
) -> PeerBrokeRules | None:
    """Serve one connection whose first bytes are `already_read`, until the peer leaves or the drain is done.

    `report` hears of every call's end, of refusals and of handlers' bugs. Setting `draining` refuses new calls
    and lets running ones end; `calls.end()` makes an end of those, too. `quick` answers calls of these methods
    without a task (see quick.py). Returns how the peer broke HTTP/2, if it did. Closes the transport.
    """
    limits, http2, calls = limits or GrpcLimits(), http2 or Limits(), calls or Calls()
    held = calls.held.part(http2.held_bytes, sure_bytes=http2.sure_bytes)
    served = _Served(methods, limits, report or ignore, calls, held.part(limits.max_standard_held_bytes))

    async def answer(stream: Stream) -> None:
        try:
            await _answer(stream, served)
        except Http2Error:
            # The caller is gone: there is nobody to tell.
            pass
        except Exception as error:
            # Not the handler's own exception but what it left behind: details that are no messages, say.
            served.report(HandlerCrashed(_path(dict(stream.headers or [])), error))
            stream.reset(ErrorCode.INTERNAL_ERROR)

    at_once = None
    if quick:
        at_once = Quick(quick, methods, limits.max_message_bytes, served.report, calls).take
    return await serve_connection(
        transport, answer, at_once=at_once, already_read=already_read, limits=http2, draining=draining, held=held
    )


class _Served(msgspec.Struct, frozen=True):
    """What all calls of a connection have in common."""

    methods: Methods
    limits: GrpcLimits
    report: Report
    calls: Calls
    # What is kept of calls that anybody may make.
    open_to_all: Held


async def _answer(stream: Stream, served: _Served) -> None:
    headers = dict(stream.headers or [])
    if refusal := _refusal(headers):
        stream.send_headers(refusal, end=True)
        served.report(CallRefused(_path(headers), f"HTTP {refusal[0][1].decode()}"))
        return
    try:
        handler, deadline = _admit(headers, served.methods)
        call = ServerCall(stream, handler, headers, deadline=deadline, most_bytes=_most_bytes(stream, headers, served))
    except (GRPCError, MetadataError) as error:
        stream.send_headers(_trailers_only(error), end=True)
        served.report(CallRefused(_path(headers), str(error.message if isinstance(error, GRPCError) else error)))
        return
    await _run(stream, call, handler, _path(headers), served)


async def _run(stream: Stream, call: ServerCall, handler: Handler, method: str, served: _Served) -> None:
    began = trio.current_time()
    at = call.deadline.at if call.deadline is not None else float("inf")
    try:
        await _within(stream, call, handler, method, served, at)
    finally:
        served.report(CallEnded(method, call.status, trio.current_time() - began))


async def _within(stream: Stream, call: ServerCall, handler: Handler, method: str, served: _Served, at: float) -> None:
    with trio.CancelScope(deadline=at) as scope:
        stream.scope = scope
        if not stream.ended and not handler.cardinality.client_streaming:
            call.expect_request(scope, trio.current_time() + served.limits.request_seconds)
        served.calls.enter(scope, method)
        try:
            await _outcome(call, handler, method, served.report)
            await call.sent()
        finally:
            served.calls.leave(scope)
            call.let_go()
    if scope.cancelled_caught and stream.fault is None:
        if served.calls.ended_because and trio.current_time() < at:
            await _cut(stream, call, Status.UNAVAILABLE, served.calls.ended_because)
        elif trio.current_time() < at:
            await _cut(stream, call, Status.DEADLINE_EXCEEDED, "The request did not arrive in time.")
        else:
            await _cut(stream, call, Status.DEADLINE_EXCEEDED, "The call's deadline passed.")


async def _outcome(call: ServerCall, handler: Handler, method: str, report: Report) -> None:
    """Run the handler; whatever happens, the call is finished afterwards, unless it was cancelled."""
    try:
        await handler.func(call)
        if not call.finished:
            await call.send_trailing_metadata()
    except Exception as error:
        _failed(call, method, report, error)
    except BaseExceptionGroup as group:
        # A handler's nursery that was cancelled while a task of it raised: the errors end here, the Cancelled goes on.
        cancelled, errors = group.split(trio.Cancelled)
        if cancelled is None or not (errors is None or isinstance(errors, ExceptionGroup)):
            raise
        if errors is not None:
            _failed(call, method, report, errors)
        raise cancelled from None


def _failed(call: ServerCall, method: str, report: Report, error: Exception) -> None:
    if call.left and _is_only(error, Http2Error):
        return
    told = _expected(error)
    if told is None:
        report(HandlerCrashed(method, error))
    if not call.finished:
        told = told or GRPCError(Status.INTERNAL, "The server failed to handle the call.")
        call.finish(told.status, told.message, told.details)


async def _cut(stream: Stream, call: ServerCall, status: Status, why: str) -> None:
    """End a call that was cancelled here. Sent outside the cancelled scope, or it would never leave."""
    if not call.finished:
        call.finish(status, why)
    with trio.move_on_after(TRAILER_SECONDS) as scope:
        await stream.sent()
    if scope.cancelled_caught:
        stream.reset(ErrorCode.CANCEL)


def _most_bytes(stream: Stream, headers: dict[bytes, bytes], served: _Served) -> int:
    """How large a message may be; of a stream that anybody may open, which from now on counts with its like."""
    limits = served.limits
    if not headers.get(b":path", b"").startswith(b"/grpc."):
        return limits.max_message_bytes
    if not stream.charge(served.open_to_all):
        raise GRPCError(Status.RESOURCE_EXHAUSTED, "Too much of what anybody may ask is under way on this connection.")
    return min(limits.max_message_bytes, limits.max_standard_message_bytes)


def _refusal(headers: dict[bytes, bytes]) -> Headers | None:
    """HTTP's own answers, for what is not gRPC at all."""
    if headers.get(b":method") != b"POST":
        return [(b":status", b"405"), (b"allow", b"POST")]
    content_type = headers.get(b"content-type", b"")
    kind = content_type.partition(b";")[0].strip().lower()
    if kind not in (b"application/grpc", b"application/grpc+proto"):
        return [(b":status", b"415"), (b"accept-post", b"application/grpc")]
    return None


def _admit(headers: dict[bytes, bytes], methods: Methods) -> tuple[Handler, Deadline | None]:
    path = headers.get(b":path", b"")
    handler = methods.get(path)
    if handler is None:
        raise GRPCError(Status.UNIMPLEMENTED, f"There is no method {path.decode('utf-8', 'replace')}.")
    encoding = headers.get(b"grpc-encoding", b"identity")
    if encoding not in ENCODINGS:
        raise GRPCError(Status.UNIMPLEMENTED, f"Messages in {encoding.decode('utf-8', 'replace')} are not taken.")
    timeout = headers.get(b"grpc-timeout")
    # Converted at once: every moment of waiting counts against the caller's deadline.
    deadline = None if timeout is None else Deadline(trio.current_time() + decode_timeout(timeout))
    return handler, deadline


def _trailers_only(error: GRPCError | MetadataError) -> Headers:
    if isinstance(error, GRPCError):
        outcome = encode_status(error.status, error.message, error.details)
    else:
        outcome = encode_status(Status.INVALID_ARGUMENT, str(error))
    extra = [(b"grpc-accept-encoding", b",".join(ENCODINGS))]
    return [(b":status", b"200"), (b"content-type", b"application/grpc"), *outcome, *extra]


def _expected(error: BaseException) -> GRPCError | None:
    """The GRPCError a handler raised, also from within its nurseries; None for anything else."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, GRPCError) else None


def _path(headers: dict[bytes, bytes]) -> str:
    return headers.get(b":path", b"").decode("ascii", "replace")


def _is_only(error: Exception, kind: type[Exception]) -> bool:
    """Also true for a handler's nursery in which nothing else went wrong."""
    return isinstance(error, kind) or (isinstance(error, ExceptionGroup) and error.split(kind)[1] is None)
