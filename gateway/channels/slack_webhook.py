"""What Slack POSTs to this gateway: events, the check of the URL, slash commands, clicks. Pure but for the reports.

The order is the one that every channel keeps (`shared/calls.py`); here stands what is Slack's in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.channels.shared.calls import Checks, busy, check, refusal
from gateway.channels.signatures import Forged, Genuine
from gateway.channels.slack_entrance import Entrance
from gateway.channels.slack_fields import text
from gateway.channels.slack_proof import proved
from gateway.channels.trust import is_json
from gateway.message.message import Message
from gateway.notices import Report
from gateway.ports import Acceptance, Arrived
from protocols.http1.messages import Request, Response
from protocols.problem import problem
from protocols.urls import query_pairs

_FORM = b"application/x-www-form-urlencoded"
_decode = msgspec.json.Decoder().decode


class Calls:
    """The HTTP side of one account."""

    def __init__(
        self, name: str, entrance: Entrance, secret: bytes, *, tolerance_seconds: float, body_bytes: int, report: Report
    ) -> None:
        self._name, self._entrance, self._secret, self._report = name, entrance, secret, report
        self._tolerance = tolerance_seconds
        self._checks = Checks(
            prove=self._prove, handshake=_challenge, parse=self._parse, answer=answer, body_bytes=body_bytes
        )

    def receive(self, request: Request, now: float) -> Arrived | Response:
        """Verify one request and make messages of it, or refuse it."""
        return check(request, now, self._checks, channel=self._name, report=self._report)

    def _prove(self, request: Request, now: float) -> Genuine | Forged:
        return proved(request, self._secret, now=now, tolerance_seconds=self._tolerance)

    def _parse(self, request: Request) -> Sequence[Message] | Response:
        kind = request.headers.index.get(b"content-type", b"")
        if is_json(kind):
            payload = _object(request.body)
            if payload is None:
                return problem(422, "The body must be a JSON object.")
            if payload.get("type") != "event_callback":
                return self._entrance.other(text(payload, "type") or "nothing")
            retry = request.headers.get("X-Slack-Retry-Num")
            if retry:
                payload |= {"retry_num": retry, "retry_reason": request.headers.get("X-Slack-Retry-Reason")}
            return self._entrance.event(payload)
        if kind.partition(b";")[0].strip().lower() == _FORM:
            return self._parse_form(request.body)
        return problem(415, "Slack sends JSON or a form, and Content-Type must say so.")

    def _parse_form(self, body: bytes) -> Sequence[Message] | Response:
        try:
            form = dict(query_pairs(body.decode("ascii")))
        except ValueError as error:
            return problem(422, f"The body is no form: {error}")
        if "payload" not in form:
            return self._entrance.command(form)
        payload = _object(form["payload"].encode("utf-8", "replace"))
        if payload is None:
            return problem(422, "The field payload must be a JSON object.")
        return self._entrance.interaction(payload)


def answer(acceptances: Sequence[Acceptance]) -> Response:
    """Acknowledge: an empty 200, which shows nothing to whoever clicked; or 503, and Slack comes again."""
    refused = refusal(acceptances)
    return busy(refused) if refused is not None else Response(200)


def _challenge(request: Request) -> Response | None:
    """Answer the check that Slack makes when the address is entered."""
    # Other requests are not decoded twice for this.
    if b"url_verification" not in request.body[:65_536]:
        return None
    payload = _object(request.body)
    if payload is None or payload.get("type") != "url_verification":
        return None
    return Response(200, (("Content-Type", "text/plain; charset=utf-8"),), text(payload, "challenge").encode())


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        payload = _decode(body)
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None
