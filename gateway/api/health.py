"""/healthz, /readyz and /metrics: what probes and Prometheus ask.

`readiness` is pure. A platform that is down, or a channel that has failed, is told and does
not make the gateway unready: the others serve, and a restart would not bring a platform back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gateway.api.peers import Access, not_local
from gateway.api.router import Endpoint, Route
from gateway.supervise import ChildState
from gateway.telemetry.metrics import Metrics
from protocols.http1.messages import Response
from protocols.json_text import encode_json
from protocols.problem import problem

if TYPE_CHECKING:
    from protocols.hub.exchange import Exchange

# At five times the promised gateway time a new message would only wait: let a balancer send it elsewhere.
WORST_LAG_SECONDS = 1.0
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_ALIVE = Response(200, _JSON, b'{"status":"alive"}')


class Vitals(Struct, frozen=True, kw_only=True):
    """What readiness is decided by, read at the moment of the probe."""

    state: str
    journal_alive: bool
    journal_failing: str
    journal_backlog: int
    loop_lag_seconds: float
    children: tuple[ChildState, ...] = ()


class Readiness(Struct, frozen=True, omit_defaults=True):
    """The answer: `problems` keep traffic away, `troubles` are told to the operator only."""

    status: str
    problems: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()


def readiness(vitals: Vitals) -> Readiness:
    """Decide whether new messages should come here."""
    problems = []
    if vitals.state != "ready":
        problems.append(f"the gateway is {vitals.state}")
    if not vitals.journal_alive:
        problems.append("the journal's writer has ended")
    elif vitals.journal_failing:
        problems.append(f"the journal cannot write: {vitals.journal_failing}")
    if vitals.loop_lag_seconds > WORST_LAG_SECONDS:
        problems.append(f"the event loop is {vitals.loop_lag_seconds:.1f} s late")
    troubles = tuple(_trouble(child) for child in vitals.children if child.state not in ("ready", "stopped"))
    return Readiness("unready" if problems else "ready", tuple(problems), troubles)


def health_routes(read: Callable[[], Vitals], metrics: Metrics, access: Access) -> list[Route]:
    """Make the three routes. `access` guards /metrics; details of /readyz are for local peers."""
    return [
        Route("/healthz", {"GET": lambda exchange: _ALIVE}),
        Route("/readyz", {"GET": _readyz(read)}),
        Route("/metrics", {"GET": _metrics(metrics, access)}),
    ]


def _readyz(read: Callable[[], Vitals]) -> Endpoint:
    def readyz(exchange: Exchange) -> Response:
        found = readiness(read())
        shown: Any = {"status": found.status} if not_local(exchange.request) else found
        headers = _JSON if found.status == "ready" else (*_JSON, ("Retry-After", "1"))
        return Response(200 if found.status == "ready" else 503, headers, encode_json(shown))

    return readyz


def _metrics(metrics: Metrics, access: Access) -> Endpoint:
    async def scrape(accept: str) -> Response:
        content_type, text = await metrics.scrape(accept)
        return Response(200, (("Content-Type", content_type), ("Cache-Control", "no-store")), text)

    def endpoint(exchange: Exchange) -> Any:
        objection = access.objection(exchange.request)
        if objection:
            whose = "Metrics are for local peers, and for the networks of metrics_from in [listen]."
            return problem(403, f"{whose} {objection}")
        return scrape(exchange.request.headers.get("Accept"))

    return endpoint


def _trouble(child: ChildState) -> str:
    told = child.why or child.last_error
    return f"{child.name} is {child.state}" + (f": {told}" if told else "")
