"""One POST of ours, and what its answer means for the outbox.

Shared by every channel whose platform is reached by HTTP. The difference that counts is
whether the other side may have acted: nothing sent is tried again, lost after sending is
unknown. Redirects are not followed: a redirect is the wrong address, and a way around allow-lists.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt

# "Come back later" in the words of Standard Webhooks and RFC 9110; 408 and 425 say the same of one request.
_LATER = frozenset((408, 425, 429, 502, 503, 504))
# Nobody means a pause beyond a day; past that, the delivery would have expired.
_LONGEST_PAUSE = 86_400.0


def receipt_of(status: int, retry_after: str = "", *, now: float = 0.0, remote_id: str = "") -> Receipt:
    """Read the status of a completed answer; `now` is what a date in `retry_after` is counted from."""
    if 200 <= status < 300:
        return Delivered(remote_id)
    if status in _LATER:
        return Deferred(f"The destination answered {status}.", pause_of(retry_after, now=now))
    if status == 410:
        return Bounced("The destination answered 410: it is gone and wants nothing more.", disable=True)
    if 300 <= status < 400:
        return Bounced(f"The destination answered {status}; redirects are not followed. Configure the new address.")
    if 400 <= status < 500:
        return Bounced(f"The destination refuses this: it answered {status}.")
    return Deferred(f"The destination answered {status}.")


def pause_of(retry_after: str, *, now: float) -> float | None:
    """Read Retry-After (RFC 9110, section 10.2.3), seconds or a date; None when it says nothing usable."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_PAUSE)
    moment = moment_of(text)
    return None if moment is None else min(max(0.0, moment - now), _LONGEST_PAUSE)


def moment_of(date: str) -> float | None:
    """Read a date as HTTP writes it, in seconds since the epoch; None when it is none."""
    try:
        at = parsedate_to_datetime(date)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
