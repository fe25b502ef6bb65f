"""What the hub tells its owner, through one injected callback. It logs and counts nothing itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from protocols.http1.messages import Peer, Request


class DispatchCrashed(msgspec.Struct, frozen=True):
    """The application raised while it looked at a request; the client got 500."""

    request: Request
    error: BaseException


class RequestRefused(msgspec.Struct, frozen=True):
    """A client sent something that is not an acceptable request, or was too slow."""

    peer: Peer
    status: int
    detail: str


class ConnectionTurnedAway(msgspec.Struct, frozen=True):
    """A connection was closed at once because a bound on connections is reached."""

    peer: Peer
    why: str


class SlowReaderCut(msgspec.Struct, frozen=True):
    """A client did not read its answer in time; the connection was reset."""

    peer: Peer
    unsent_bytes: int


class ConnectionCrashed(msgspec.Struct, frozen=True):
    """A bug of ours, or of a callback, met one connection; it was closed and all others go on."""

    peer: Peer
    error: Exception


class AcceptPaused(msgspec.Struct, frozen=True):
    """No connection can be accepted, mostly for want of descriptors; accepting pauses for a moment."""

    error: OSError


HubEvent = DispatchCrashed | RequestRefused | ConnectionTurnedAway | SlowReaderCut | ConnectionCrashed | AcceptPaused
# Called in the hub's task or by whoever answers; it must not raise.
Report = Callable[[HubEvent], None]
