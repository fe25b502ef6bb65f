"""Find the endpoint of a request and see to it that the request gets an answer.

`Router.dispatch` is what the HTTP hub calls, in the hub's task, for every complete request. An
endpoint is a plain function that returns its `Response`; or None, when it will answer the exchange
itself (from a commit's callback, say); or an awaitable of either, which is run in the nursery
given at construction and cancelled when the client goes away. What an endpoint raises becomes
a problem document (`refusals.py`); anything unforeseen a 500 without detail, and a notice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

import trio
from msgspec import Struct

from gateway.api.refusals import refusal_of
from gateway.notices import Report, RequestFailed
from gateway.supervise.crash import tell
from protocols.errors import ClientGone
from protocols.http1.messages import Response
from protocols.problem import problem

if TYPE_CHECKING:
    from protocols.hub.exchange import Exchange

Given = Response | None
Endpoint = Callable[..., Given | Awaitable[Given]]
"""`endpoint(exchange, *parameters)`: one text for each `{name}` of its path, percent-decoded."""


class Route(Struct, frozen=True):
    """One path of the API, and its endpoint for each method. `{name}` stands for any one segment."""

    path: str
    methods: dict[str, Endpoint]


class Router:
    """The table of routes. A fixed path wins over one with parameters, and of those the first that fits."""

    def __init__(self, routes: list[Route], nursery: trio.Nursery, report: Report) -> None:
        self._nursery, self._report = nursery, report
        self._fixed: dict[str, Route] = {}
        self._open: dict[tuple[int, str], list[tuple[Route, list[str]]]] = {}
        for route in routes:
            self.add(route)

    def add(self, route: Route) -> None:
        """Serve one more path; a channel's own endpoints come with a reload."""
        if "{" not in route.path:
            self._fixed[route.path] = route
            return
        segments = route.path.split("/")[1:]
        if segments[0].startswith("{"):
            raise ValueError(f"the first segment of {route.path} must be fixed: it is what routes are found by")
        self._open.setdefault((len(segments), segments[0]), []).append((route, segments))

    def dispatch(self, exchange: Exchange) -> None:
        """Answer, or set in motion what will. Never raises for what an endpoint does."""
        request = exchange.request
        route, parameters = self._find(request.path)
        if route is None:
            exchange.answer(problem(404, f"There is nothing at {request.path[:200]}."))
            return
        endpoint = route.methods.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            exchange.answer(_not_allowed(route))
            return
        try:
            given = endpoint(exchange, *parameters)
            if isinstance(given, Response):
                exchange.answer(given)
            elif given is not None:
                self._nursery.start_soon(self._finish, exchange, given, route, name=f"{request.method} {route.path}")
        except Exception as error:
            self._fail(exchange, error, route)

    def _find(self, path: str) -> tuple[Route | None, list[str]]:
        route = self._fixed.get(path)
        if route is not None:
            return route, []
        raw = path.split("/")[1:]
        candidates = self._open.get((len(raw), raw[0])) if raw else None
        if candidates is None:
            return None, []
        try:
            # Decoded after splitting: a "%2F" stays inside its segment and cannot reach a neighbour's resource.
            found = [unquote(each, errors="strict") for each in raw] if "%" in path else raw
        except UnicodeDecodeError:
            return None, []
        for candidate, segments in candidates:
            if all(part and (want[0] == "{" or want == part) for want, part in zip(segments, found, strict=True)):
                return candidate, [part for want, part in zip(segments, found, strict=True) if want[0] == "{"]
        return None, []

    async def _finish(self, exchange: Exchange, given: Awaitable[Given], route: Route) -> None:
        crash: BaseException | None = None
        with trio.CancelScope() as scope:
            exchange.on_gone(scope.cancel)
            try:
                response = await given
                if response is not None:
                    exchange.answer(response)
            except* Exception as group:
                crash = group
        if crash is not None:
            self._fail(exchange, crash, route)

    def _fail(self, exchange: Exchange, error: BaseException, route: Route) -> None:
        refusal = refusal_of(error)
        if refusal is None and not _only_gone(error):
            self._report(RequestFailed(f"{exchange.request.method} {route.path}", tell(error)))
            refusal = problem(500, "The gateway failed while it looked at this request; its log says more.")
        if refusal is not None and not exchange.answered:
            exchange.answer(refusal)


def _not_allowed(route: Route) -> Response:
    methods = sorted(route.methods | ({"HEAD": ...} if "GET" in route.methods else {}))
    allowed = ", ".join(methods)
    return problem(405, f"{route.path} answers {allowed} only.", headers=(("Allow", allowed),))


def _only_gone(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_only_gone(inner) for inner in error.exceptions)
    return isinstance(error, ClientGone)
