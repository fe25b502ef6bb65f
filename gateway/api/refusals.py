"""Which answer belongs to which error of ours. Pure.

An error that stands here is expected and tells the caller what to do; everything else is a
500 whose cause stays in the log.
"""

from __future__ import annotations

from math import ceil

from gateway.api.errors import BadField, NotPossible, NotThere
from gateway.errors import JournalError, ModelError, OclawError, Overloaded, SettingErrors
from gateway.supervise.crash import leaves_of
from protocols.http1.messages import Response
from protocols.problem import problem


def refusal_of(error: BaseException) -> Response | None:
    """Return the problem document for an expected error (alone in its group), None for an unforeseen one."""
    leaves = list(leaves_of(error))
    return _refusal(leaves[0]) if len(leaves) == 1 and isinstance(leaves[0], OclawError) else None


def _refusal(error: OclawError) -> Response | None:
    match error:
        case NotThere():
            return problem(404, str(error))
        case NotPossible():
            return problem(409, str(error))
        case BadField():
            return problem(error.status, str(error))
        case Overloaded():
            # Retry-After counts whole seconds (RFC 9110, section 10.2.3), and 0 would invite at once.
            wait = str(max(1, ceil(error.retry_after)))
            return problem(503, error.why, headers=(("Retry-After", wait),))
        case JournalError():
            return problem(503, str(error), headers=(("Retry-After", "5"),))
        case ModelError():
            return problem(502, error.why)
        case SettingErrors():
            members = {"problems": [str(each) for each in error.problems]}
            return problem(422, "The configuration is wrong.", members=members)
        case _:
            return None
