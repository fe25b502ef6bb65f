"""What a server tells about its calls: a closed union, from which the gateway makes notices and counts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from grpclib.const import Status


class CallEnded(msgspec.Struct, frozen=True):
    """A handler's call is over. `status` is None when its caller left before it had one."""

    method: str
    status: Status | None
    seconds: float


class CallRefused(msgspec.Struct, frozen=True):
    """A request never reached a handler: no gRPC (an HTTP status), no such method, or malformed."""

    path: str
    why: str


class HandlerCrashed(msgspec.Struct, frozen=True):
    """A handler raised something that is no GRPCError. Its caller heard INTERNAL and nothing else."""

    method: str
    error: Exception


GrpcEvent = CallEnded | CallRefused | HandlerCrashed
Report = Callable[[GrpcEvent], None]


def ignore(event: GrpcEvent) -> None:
    """A report for servers that nobody watches."""
