"""Translate what the HTTP hub tells its owner into notices. Pure.

What a stranger can cause at will is counted and shown by `oclaw tail`, and not logged: a
scanner must not be able to write our log.
"""

from __future__ import annotations

from typing import assert_never

from gateway.notices import AcceptingPaused, ConnectionRefused, Notice, RequestFailed, RequestRefused
from gateway.supervise.crash import tell
from protocols.http1.messages import Peer
from protocols.hub.events import (
    AcceptPaused,
    ConnectionCrashed,
    ConnectionTurnedAway,
    DispatchCrashed,
    HubEvent,
    SlowReaderCut,
)
from protocols.hub.events import RequestRefused as BytesRefused


def notice_of(event: HubEvent) -> Notice:
    """Return the notice for an event of the hub."""
    match event:
        case BytesRefused(peer, status, detail):
            return RequestRefused(status, _name(peer), detail)
        case ConnectionTurnedAway(peer, why):
            return ConnectionRefused("limit", _name(peer), why)
        case SlowReaderCut(peer, unsent_bytes):
            return ConnectionRefused("slow_reader", _name(peer), f"{unsent_bytes} bytes were not read in time")
        case AcceptPaused(error):
            return AcceptingPaused(str(error))
        case DispatchCrashed(request, error):
            return RequestFailed(f"{request.method} {area_of(request.path)}", tell(error))
        case ConnectionCrashed(_, error):
            return RequestFailed("a connection", tell(error))
        case never:
            assert_never(never)


def area_of(path: str) -> str:
    """Return the part of a path that says who is asked, such as /channels/shop: behind it stand ids without end."""
    return "/".join(path.split("/", 3)[:3])[:200]


def _name(peer: Peer) -> str:
    return peer.host or "unix"
