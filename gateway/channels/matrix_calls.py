"""What a homeserver asks of an application service, taken apart (application service API v1).

Pure. Everything it sends carries the hs_token as a bearer; a wrong one is answered 403 before anything is
decoded. The paths are the same below `/_matrix/app/v1/` and below `/channels/<name>/_matrix/app/v1/`, so
that one gateway can serve several homeservers.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
from msgspec import Struct

from protocols.http1.messages import Request, Response
from protocols.urls import path_segments

ROOT = "/_matrix/app/v1/"
# Synapse sends at most 100. A body of nothing but empty events would hold the gateway for half a minute.
MOST_EVENTS = 5_000
_JSON = (("Content-Type", "application/json"),)
_decode = msgspec.json.Decoder().decode
_VERBS = {"transactions": "PUT", "ping": "POST", "users": "GET", "rooms": "GET", "thirdparty": "GET"}


class Transaction(Struct, frozen=True):
    """Events in the homeserver's order. `id` repeats, together with the events, until it heard 200."""

    id: str
    events: tuple[dict[str, Any], ...]


class Query(Struct, frozen=True):
    """Does this user or room alias exist on our side?"""

    kind: Literal["users", "rooms"]
    id: str


def done() -> Response:
    """Say 200 `{}`, the only answer that ends a transaction."""
    return Response(200, _JSON, b"{}")


def refused(status: int, code: str, error: str) -> Response:
    """Refuse in the form of the Matrix specification: `{errcode, error}`."""
    return Response(status, _JSON, msgspec.json.encode({"errcode": code, "error": error}))


def read_call(request: Request) -> Transaction | Query | Response:
    """Take an authenticated call apart; a `Response` answers what needs no thought, or is wrong."""
    rest = request.path.partition(ROOT)[2]
    try:
        segments = path_segments(rest)
    except ValueError:
        return refused(400, "M_INVALID_PARAM", "The path is not percent-encoded UTF-8.")
    match segments:
        case [verb, *_] if verb in _VERBS and request.method != _VERBS[verb]:
            return refused(405, "M_UNRECOGNIZED", f"This is asked with {_VERBS[verb]}.")
        case ["transactions", str(id)] if id:
            return _transaction(id, request.body)
        case ["users" | "rooms" as kind, str(id)] if id:
            return Query(kind, id)
        case ["ping"]:
            return done()
        case ["thirdparty", *_]:
            return refused(404, "M_NOT_FOUND", "This application service knows no third-party networks.")
        case _:
            return refused(404, "M_UNRECOGNIZED", "An application service has no such path.")


def _transaction(id: str, body: bytes) -> Transaction | Response:
    decoded = _decoded(body)
    events = decoded.get("events") if type(decoded) is dict else None
    if type(events) is not list:
        return refused(400, "M_BAD_JSON", "A transaction is an object whose `events` is a list.")
    if len(events) > MOST_EVENTS:
        return refused(
            413, "M_TOO_LARGE", f"A transaction has at most {MOST_EVENTS} events; this one has {len(events)}."
        )
    return Transaction(id, tuple(event for event in events if type(event) is dict))


def _decoded(body: bytes) -> Any:
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        pass
    # A homeserver repeats a refused transaction for ever, and all behind it waits: what can be read at all (a lone
    # surrogate that somebody escaped) is read.
    try:
        text = body.decode("utf-8", "replace")
        return msgspec.json.decode(json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
