"""Serve HTTP/2 on a stream somebody else accepted, and perhaps already read from."""

from __future__ import annotations

import trio

from protocols.http2.connection import Answer, AtOnce, Connection
from protocols.http2.errors import PeerBrokeRules
from protocols.http2.held import Held
from protocols.http2.limits import Limits


async def serve_connection(
    transport: trio.abc.Stream,
    answer: Answer,
    *,
    at_once: AtOnce | None = None,
    already_read: bytes = b"",
    limits: Limits | None = None,
    draining: trio.Event | None = None,
    held: Held | None = None,
) -> PeerBrokeRules | None:
    """Answer each request in a task of its own until the peer leaves or a drain is done.

    `at_once` may take a request that is all there: it needs no task then. Neither it nor `answer` may raise: what they
    cannot handle ends the connection and reaches the caller. When `draining` is
    set, new streams are refused and the call returns after the running ones; a caller in a hurry cancels.
    `held` counts what the peer makes us keep: a part of what bounds many connections. Returns how the peer broke the
    rules, if it did. The transport is closed on every way out.
    """
    connection = Connection(transport, limits or Limits(), answer=answer, at_once=at_once, draining=draining, held=held)
    await connection.run(already_read)
    return connection.ended_because
