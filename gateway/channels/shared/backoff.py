"""How long to wait before the next connection. Pure: failures and chance come in as arguments."""

from __future__ import annotations

from msgspec import Struct


class Backoff(Struct, frozen=True, kw_only=True):
    """Pauses that double from the first to the longest. A connection that held `stable_seconds` clears the past.

    The longest is five minutes: short enough that nobody restarts the gateway out of impatience, long enough that a
    platform which comes back is not knocked down again by everybody at once.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 300.0
    stable_seconds: float = 60.0


def pause(backoff: Backoff, failures: int, spread: float, asked: float = 0.0) -> float:
    """Return the pause after `failures` in a row; `spread` is random in [0, 1), `asked` what the platform wants.

    The first failure after a stable connection waits up to the first pause only: most breaks are over at once.
    """
    own = min(backoff.longest_seconds, backoff.first_seconds * 2.0 ** min(max(failures - 1, 0), 30))
    return max(own * (0.5 + spread / 2), asked)
