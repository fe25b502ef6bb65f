"""Rates that rules set (`throttle("5/1m") PER message.sender.id`): a token bucket for each key.

Bounded: the least recently used keys are forgotten, which can only let a message through that
would have been refused. Lost at a restart, as a rate is about now and not about yesterday. Another rate is another
bucket: a rule may have two for the same key, and one that was edited begins anew.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

# 100,000 keys of about 200 bytes: 20 MB at the worst.
MOST_KEYS = 100_000
# Whoever writes to us may choose the key, and a webhook's sender id may have a megabyte.
MOST_KEY_CHARACTERS = 64


class Throttle:
    """Counts by key; `admit` takes one token when there is one."""

    def __init__(self, most_keys: int = MOST_KEYS) -> None:
        self._buckets: OrderedDict[tuple[str, str, int, float], tuple[float, float]] = OrderedDict()
        self._most_keys = most_keys

    def admit(self, rule: str, key: str, count: int, seconds: float, now: float) -> bool:
        """Say whether `key` stays within `count` messages a `seconds` under this rule, and count this one."""
        place = (rule, shortened(key), count, seconds)
        tokens, since = self._buckets.pop(place, (float(count), now))
        tokens = min(float(count), tokens + max(0.0, now - since) * count / seconds)
        admitted = tokens >= 1.0
        self._buckets[place] = (tokens - 1.0 if admitted else tokens, now)
        if len(self._buckets) > self._most_keys:
            self._buckets.popitem(last=False)
        return admitted


def shortened(key: str) -> str:
    """Return what stands for a key in memory: the key, or the digest of a long one."""
    if len(key) <= MOST_KEY_CHARACTERS:
        return key
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
