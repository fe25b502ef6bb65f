"""Statuses with their details: which field is wrong, when to come again, who must show a token."""

from __future__ import annotations

import trio
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from gateway.ports import Refused
from protocols.grpc.metadata import Metadata

# Refusals that say nothing about load: another gateway may take the message at once.
_AWAY = {
    "draining": "The gateway is shutting down.",
    "journal": "The gateway cannot store messages at the moment.",
    "not ready": "The channel is not ready.",
}


class FieldError(ValueError):
    """A field of a request breaks its form; `field` is its path in the request."""

    def __init__(self, field: str, why: str) -> None:
        self.field, self.why = field, why
        super().__init__(f"{field} {why}")


def bad_field(error: FieldError) -> GRPCError:
    """Name the field that is wrong."""
    violation = BadRequest.FieldViolation(field=error.field, description=error.why)
    return GRPCError(Status.INVALID_ARGUMENT, f"{error}.", [BadRequest(field_violations=[violation])])


def status_of(refused: Refused) -> tuple[Status, str]:
    """Return what a refusal at the door is for a caller."""
    if refused.why in _AWAY:
        return Status.UNAVAILABLE, _AWAY[refused.why]
    return Status.RESOURCE_EXHAUSTED, f"The gateway is too busy to take this message now ({refused.why})."


def busy(refused: Refused) -> GRPCError:
    """Tell a caller that its message was not taken, and when to come again."""
    status, sentence = status_of(refused)
    return GRPCError(status, sentence, [RetryInfo(retry_delay=duration(refused.retry_after))])


def unauthenticated() -> GRPCError:
    """Ask for a token."""
    return GRPCError(Status.UNAUTHENTICATED, "The call needs metadata `authorization: Bearer` with a valid token.")


async def send_away(over: trio.Event) -> None:
    """Raise when a channel is over: on another one this client would hear nothing."""
    await over.wait()
    raise GRPCError(Status.UNAVAILABLE, "The channel was restarted; come back with the last sequence you have seen.")


def bearer_in(metadata: Metadata) -> bytes:
    """Return the bearer token (RFC 6750) of a call, or b''."""
    value = metadata.get("authorization", "")
    if not isinstance(value, str):
        return b""
    scheme, _, token = value.partition(" ")
    return token.strip().encode() if scheme.lower() == "bearer" else b""


def duration(seconds: float) -> Duration:
    """Write seconds as protobuf does."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
