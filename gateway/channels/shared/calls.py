"""A webhook call, checked in the order that every channel keeps.

    size → signature → replay window → handshake → form → (dedupe → commit → answer)

The last three are the gateway's: the messages go to the journal, and `answer` is made after the
commit. A channel supplies the pieces; the order is not its business. Nothing of the body is decoded
before `prove` has vouched for the raw bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hmac import compare_digest, digest
from typing import Literal

from msgspec import Struct

from gateway.channels.signatures import Forged, Genuine
from gateway.message.message import Message
from gateway.notices import EnvelopeRefused, Report
from gateway.ports import Acceptance, Arrived, Refused
from protocols.http1.messages import Request, Response
from protocols.problem import problem


class Checks(Struct, frozen=True, kw_only=True):
    """What is particular to a platform.

    `prove` checks signature and replay window over the raw bytes; `handshake` answers what is no event (a challenge,
    a ping), or None; `parse` makes messages (none: an event that is not ours) or refuses; `answer` follows the commit.
    """

    prove: Callable[[Request, float], Genuine | Forged]
    parse: Callable[[Request], Sequence[Message] | Response]
    answer: Callable[[Sequence[Acceptance]], Response]
    handshake: Callable[[Request], Response | None] = lambda _: None
    methods: tuple[str, ...] = ("POST",)
    body_bytes: int = 1024 * 1024


def check(request: Request, now: float, checks: Checks, *, channel: str, report: Report) -> Arrived | Response:
    """Take a call through the order. Never raises, whatever was sent, as long as `parse` does not."""

    def refuse(status: int, reason: str, why: str) -> Response:
        report(EnvelopeRefused(channel, reason, why))
        return problem(status, why)

    if request.method not in checks.methods:
        return problem(405, "Events are sent here with POST.", headers=(("Allow", ", ".join(checks.methods)),))
    size = len(request.body)
    if size > checks.body_bytes:
        return refuse(413, "too_large", f"The body has {size} bytes; at most {checks.body_bytes} are taken.")
    proof = checks.prove(request, now)
    if isinstance(proof, Forged):
        return refuse(401, proof.reason, proof.why)
    greeting = checks.handshake(request)
    if greeting is not None:
        return greeting
    parsed = checks.parse(request)
    if isinstance(parsed, Response):
        report(EnvelopeRefused(channel, "bad_field", f"answered {parsed.status}"))
        return parsed
    if not parsed:
        return checks.answer(())
    return Arrived(tuple(parsed), checks.answer)


def hmac_is(
    secret: bytes,
    signed: bytes,
    given: bytes,
    *,
    algorithm: Literal["sha256", "sha1"] = "sha256",
    form: Literal["hex", "base64"] = "hex",
    prefix: bytes = b"",
) -> bool:
    """Compare a MAC over `signed` with the `given` header, in a time that tells nothing."""
    from base64 import b64encode

    mac = digest(secret, signed, algorithm)
    return compare_digest(prefix + (mac.hex().encode() if form == "hex" else b64encode(mac)), given)


def stale(stamp: bytes, now: float, tolerance_seconds: float) -> bool:
    """Tell whether a header of epoch seconds is no number, or too far from our clock, in either direction."""
    if not stamp.isdigit() or len(stamp) > 11:
        return True
    return abs(now - int(stamp)) > tolerance_seconds


def refusal(acceptances: Sequence[Acceptance]) -> Refused | None:
    """Return why the gateway did not take the messages, or None: all are committed or known."""
    return next((each for each in acceptances if isinstance(each, Refused)), None)


def busy(refused: Refused) -> Response:
    """Ask the platform to come again: 503 with Retry-After."""
    seconds = str(max(1, round(refused.retry_after)))
    return problem(503, f"The gateway cannot take messages now ({refused.why}).", headers=(("Retry-After", seconds),))
