"""Is a request really from Slack? HMAC-SHA256 over `v0:{timestamp}:{raw body}`, and a clock that agrees.

Pure. Slack signs everything it sends alike: events, the URL check, slash commands, button clicks.
"""

from __future__ import annotations

from gateway.channels.shared.calls import hmac_is, stale
from gateway.channels.signatures import Forged, Genuine
from protocols.http1.messages import Request

_TIME, _SIGNATURE = b"x-slack-request-timestamp", b"x-slack-signature"


def proved(request: Request, secret: bytes, *, now: float, tolerance_seconds: float) -> Genuine | Forged:
    """Check signature, then window. Never raises, whatever the headers hold."""
    index = request.headers.index
    stamp, signature = index.get(_TIME), index.get(_SIGNATURE)
    if not stamp or not signature:
        return Forged("unsigned", "The headers X-Slack-Request-Timestamp and X-Slack-Signature are needed.")
    if not hmac_is(secret, b"v0:%b:%b" % (stamp, request.body), signature, prefix=b"v0="):
        return Forged("bad_signature", "X-Slack-Signature does not match the time and the body.")
    if stale(stamp, now, tolerance_seconds):
        why = f"X-Slack-Request-Timestamp is more than {tolerance_seconds:g} s away from this server's clock."
        return Forged("stale", why)
    return Genuine(signature.decode("latin-1"))
