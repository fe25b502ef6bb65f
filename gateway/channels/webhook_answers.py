"""What a webhook's caller hears: accepted, or what became of the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from gateway.message.lifecycle import InboundState
from gateway.ports import Acceptance, Accepted, Duplicate, Refused, Result
from protocols.http1.messages import Response
from protocols.problem import problem

_JSON = (("Content-Type", "application/json"),)
_WALKING = (InboundState.ACCEPTED, InboundState.HELD, InboundState.DELAYED)


def answer(acceptances: Sequence[Acceptance]) -> Response:
    """Say after the commit under which id the one message of a request is known."""
    match acceptances[0]:
        case Accepted(id):
            return Response(202, _JSON, b'{"id":"%b"}' % id.encode("ascii"))
        case Duplicate(id):
            return Response(202, _JSON, b'{"id":"%b","duplicate":true}' % id.encode("ascii"))
        case Refused(why):
            return problem(503, "The gateway cannot take this message now.", members={"reason": why})
        case never:
            assert_never(never)


def result_answer(result: Result, replies: list[Any]) -> Response:
    """Say what became of a message: 200 with its replies, 202 while it is under way, else a problem.

    Why a message was rejected is the operator's business; its sender hears what was meant for him.
    """
    members = {"id": result.envelope_id, "state": result.state.value}
    match result.state:
        case InboundState.REJECTED:
            detail = result.tell or "The message was not let through."
            return problem(403, detail, title="Rejected", members=members)
        case InboundState.DEAD:
            return problem(500, "The message could not be answered.", title="Gave up", members=members)
        case state if state in _WALKING:
            return Response(202, _JSON, msgspec.json.encode(members))
        case _:
            return Response(200, _JSON, msgspec.json.encode({**members, "replies": replies}))
