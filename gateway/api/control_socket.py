"""The control socket: `Control` as JSON over HTTP, for the CLI and whoever may open the socket.

The same hub and router as on the public port, on a Unix socket of mode 0600 and nowhere
else: that mode is the access control. To add a request, give `Control` a method and
`control_routes` a line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec

from gateway.api.control import Control, DisabledAddress, Kind, SendOrder
from gateway.api.errors import BadField
from gateway.api.router import Endpoint, Route
from gateway.api.tail import stream_tail
from gateway.telemetry import Masks, Verbosity, Watchers
from protocols.http1.messages import Response
from protocols.json_text import encode_json
from protocols.problem import problem
from protocols.urls import query_pairs

if TYPE_CHECKING:
    from protocols.hub.exchange import Exchange

T = TypeVar("T")

_LINES = (("Content-Type", "application/x-ndjson"), ("Cache-Control", "no-store"))
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
# A terminal's worth by default; more than any person reads at most.
_LIMIT, _MOST = 50, 1000
# What a person waits for at a prompt, and what keeps one connection busy at most.
_LONGEST_WAIT_SECONDS = 600.0


def control_routes(control: Control, watchers: Watchers, *, masks: Masks, verbosity: Verbosity) -> list[Route]:
    """Make the routes. `masks` and `verbosity` say what `tail` may show, as for the log."""

    async def held(exchange: Exchange) -> Response:
        return as_json(await control.held(limit=_limit_of(_query(exchange))))

    async def rules(exchange: Exchange) -> Response:
        return as_json(await control.rules(limit=_limit_of(_query(exchange))))

    return [
        Route("/status", {"GET": _ask(control.status)}),
        Route("/send", {"POST": _send(control)}),
        Route("/tail", {"GET": lambda exchange: stream_tail(exchange, watchers, masks=masks, verbosity=verbosity)}),
        Route("/trace/{id}", {"GET": _ask(control.trace)}),
        Route("/dead", {"GET": _dead(control)}),
        Route("/dead/export", {"GET": _dead_stories(control)}),
        Route("/dead/{id}", {"GET": _ask(control.dead_letter)}),
        Route("/dead/{id}/retry", {"POST": _ask(control.retry)}),
        Route("/dead/{id}/drop", {"POST": _ask(control.drop)}),
        Route("/held", {"GET": held}),
        Route("/held/{id}/release", {"POST": _ask(control.release)}),
        Route("/held/{id}/drop", {"POST": _ask(control.discard)}),
        Route("/disabled", {"GET": _ask(control.disabled), "POST": _enable(control)}),
        Route("/rules", {"GET": rules}),
        Route("/rules/explain/{id}", {"GET": _ask(control.explain)}),
        Route("/reload", {"POST": _reload(control)}),
    ]


def as_json(value: Any) -> Response:
    """Answer 200 with the value's JSON."""
    return Response(200, _JSON, encode_json(value))


def _ask(question: Callable[..., Awaitable[Any]]) -> Endpoint:
    async def endpoint(exchange: Exchange, *parameters: str) -> Response:
        return as_json(await question(*parameters))

    return endpoint


def _send(control: Control) -> Endpoint:
    async def endpoint(exchange: Exchange) -> Response:
        order = _order(exchange.request.body)
        return as_json(await control.send(order))

    return endpoint


def _dead(control: Control) -> Endpoint:
    async def endpoint(exchange: Exchange) -> Response:
        query = _query(exchange)
        kind = query.get("kind", "")
        if kind and kind not in get_args(Kind):
            raise BadField(f'kind is "{kind}"; it must be inbound or delivery, or be left out for both.')
        found = await control.dead(kind or None, limit=_limit_of(query))  # type: ignore[arg-type]
        return as_json(found)

    return endpoint


def _dead_stories(control: Control) -> Endpoint:
    async def endpoint(exchange: Exchange) -> None:
        async with exchange.stream(200, _LINES) as answer:
            if answer.silent:
                return
            async with aclosing(control.dead_stories()) as stories:
                async for story in stories:
                    await answer.send(encode_json(story) + b"\n")

    return endpoint


def _enable(control: Control) -> Endpoint:
    async def endpoint(exchange: Exchange) -> Response:
        what = _read(exchange.request.body, DisabledAddress)
        return as_json(await control.enable(what))

    return endpoint


def _reload(control: Control) -> Endpoint:
    async def endpoint(exchange: Exchange) -> Response:
        report = await control.reload()
        if report.applied:
            return as_json(report)
        detail = "The old configuration stays in force: " + " ".join(report.problems)
        return problem(422, detail, members={"problems": report.problems, "generation": report.generation})

    return endpoint


def _read(body: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type)
    except msgspec.ValidationError as error:
        raise BadField(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise BadField(f"The body is not JSON: {error}.", status=400) from error


def _order(body: bytes) -> SendOrder:
    order = _read(body, SendOrder)
    if not 0 <= order.wait_seconds <= _LONGEST_WAIT_SECONDS:
        raise BadField(f"wait_seconds is {order.wait_seconds:g}; it must be from 0 to {_LONGEST_WAIT_SECONDS:g}.")
    return order


def _query(exchange: Exchange) -> dict[str, str]:
    try:
        return dict(query_pairs(exchange.request.query))
    except ValueError as error:
        raise BadField("The query is not a list of name=value in UTF-8.", status=400) from error


def _limit_of(query: dict[str, str]) -> int:
    text = query.get("limit", str(_LIMIT))
    if text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST)) and 1 <= (limit := int(text)) <= _MOST:
        return limit
    raise BadField(f'limit is "{text[:20]}"; it must be a number from 1 to {_MOST}.')
