"""What was missed is read from the rooms, with the first transaction after a doubt or when the link is up again.

In doubt are: the start, every lost connection, every call without an answer. What is read back was mostly heard
before; the journal knows it by its event id, so only what was missed becomes a message, at its place in the order.

For half a minute afterwards the homeserver's own order is not relied on: a Synapse (1.163) that has just sent all
it kept for us can file one more event for later, which it then sends when we are away the next time, days behind
what followed it. So the rooms of what is new are read before it, and at the end of that time all rooms once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any

import trio

from gateway.channels.matrix_events import text
from gateway.channels.matrix_history import History, NotNow, Unreadable
from gateway.channels.shared.together import few_at_once
from gateway.notices import EnvelopeRefused, Report
from gateway.ports import Cursor
from protocols.errors import AnswerTooLarge, HttpClientError, NothingSent

CURSOR = "heard"
# An event can have waited in the homeserver's memory for as long as our answers take; they take seconds at most.
_MARGIN_SECONDS = 60.0
# Shorter than event ids are remembered (see the channel's traits), or what is old would be answered again.
LONGEST_SECONDS = 6 * 86_400.0
# The moment is committed with messages; once in so many seconds is enough within the margin.
_EVERY_SECONDS = 5.0
# A neighbour answers within milliseconds, and one that is far away has other things to do as well.
_ROOMS_AT_ONCE = 8
# A room whose history is broken or far away costs its own messages after so many attempts, and not everybody's.
_ROOM_SECONDS = 10.0
_MOST_TRIES = 3
# What the homeserver kept for us is sent within seconds after it has found us; the watch looks as often as this.
_UNSURE_SECONDS = 30.0


class Gap:
    """What is read back because of so many doubts. An attempt that fails leaves to the next one what it has read."""

    def __init__(self, doubts: int) -> None:
        self.doubts = doubts
        self.read: dict[str, list[dict[str, Any]]] = {}


class CatchUp:
    """Knows whether there is a doubt and since when."""

    def __init__(self, name: str, history: History, report: Report) -> None:
        self._name, self._history, self._report = name, history, report
        self._gap = Gap(0)
        # Of rooms, since they were read last: one that is broken for good makes us wait once, and not at each doubt.
        self._failures = Counter[str]()
        self.doubts = 0
        self._settled = 0
        self._sure_at = 0.0
        self._heard = 0.0
        # The same by Trio's clock, which nobody sets; not known of what an earlier life heard.
        self._heard_at: float | None = None
        self._kept = 0.0

    def restore(self, kept: str) -> None:
        """Take up the moment of an earlier life; without one there is nothing that could have been missed."""
        self._heard, self._heard_at = float(kept) if kept else 0.0, None
        self.doubt()

    @property
    def needed(self) -> bool:
        """There is a doubt or the time for a last look, and a moment from which to read."""
        return self._heard > 0 and (self.doubts > self._settled or 0 < self._sure_at <= trio.current_time())

    @property
    def unsure(self) -> bool:
        """A doubt was settled lately: what comes now may not be all that was said before it."""
        return self._heard > 0 and self._sure_at > 0

    def doubt(self) -> None:
        """Something may have been missed."""
        self.doubts += 1
        self._sure_at = inf

    def settled(self, doubts: int) -> None:
        """What was read back when there were so many doubts is committed; later ones stand."""
        if not doubts:
            return
        self._settled = max(self._settled, doubts)
        if self.doubts > self._settled:
            return
        self._gap = Gap(0)
        now = trio.current_time()
        if self._sure_at == inf:
            self._sure_at = now + _UNSURE_SECONDS
        elif self._sure_at <= now:
            self._sure_at = 0.0

    def cursor(self, now: float) -> Cursor | None:
        """Return the moment to be committed with messages that came now, when it is time to."""
        return Cursor(CURSOR, f"{now:.0f}") if self._is_due(now) else None

    def heard(self, now: float) -> None:
        """Messages that came at `now` are committed."""
        self._heard, self._heard_at = now, trio.current_time()
        if self._is_due(now):
            self._kept = now

    def _is_due(self, now: float) -> bool:
        return not 0 <= now - self._kept < _EVERY_SECONDS  # or the clock was set back

    async def missed(self, now: float) -> list[dict[str, Any]]:
        """Return what was said since we last heard anything for certain, each room's events in order.

        Raises `HttpClientError`. What was read until it is cancelled, or the homeserver has an error of its own, is not
        asked for again; what was read before it was away, or is not committed, is.
        """
        if self._gap.doubts != self.doubts:
            self._gap = Gap(self.doubts)
        gap = self._gap
        with self._doubted():
            rooms = await self._history.rooms()
            await self._fill(gap, [room for room in rooms if room not in gap.read], now)
        if any(room not in gap.read for room in rooms):
            raise NothingSent("Not every room could be read.")
        self._gap = Gap(0)  # should this not be committed, it will be late by then
        return [event for room in rooms for event in gap.read[room]]

    async def missed_in(self, rooms: Sequence[str], now: float) -> list[dict[str, Any]]:
        """Return what was said in some rooms lately, each room's events in order. Raises `HttpClientError`.

        A room that cannot be read has nothing to say here: all of them are read again soon.
        """
        gap = Gap(self.doubts)
        with self._doubted():
            await self._fill(gap, rooms, now)
        return [event for room in rooms for event in gap.read.get(room, ())]

    @contextmanager
    def _doubted(self) -> Iterator[None]:
        try:
            yield
        except NotNow:
            raise
        except HttpClientError:
            # It may have died, and forgotten what was said in a room behind our reading of it: all is read anew.
            self.doubt()
            self._failures.clear()
            raise

    async def _fill(self, gap: Gap, rooms: Sequence[str], now: float) -> None:
        seconds = min(max(now - self._last_heard(now), 0.0) + _MARGIN_SECONDS, LONGEST_SECONDS)
        await few_at_once(partial(self._read, gap, seconds), rooms, at_once=_ROOMS_AT_ONCE)

    def _last_heard(self, now: float) -> float:
        """Return when that was by the clock as it goes now; it may have been set back since.

        Of Trio's clock, which stands still while the machine sleeps, and of the wall's the earlier moment counts.
        """
        if self._heard_at is not None:
            return min(self._heard, now - (trio.current_time() - self._heard_at))
        # Nobody knows how long ago a moment is that lies in the future: what is read for nothing was heard before.
        return self._heard if self._heard <= now + _MARGIN_SECONDS else 0.0

    async def _read(self, gap: Gap, seconds: float, room: str) -> None:
        try:
            with trio.fail_after(_ROOM_SECONDS):
                gap.read[room] = await self._history.since(room, seconds)
            self._failures.pop(room, None)
        except (Unreadable, AnswerTooLarge, trio.TooSlowError) as error:
            self._failures[room] += 1
            if self._failures[room] >= _MOST_TRIES:
                gap.read[room] = []
            if self._failures[room] == _MOST_TRIES:  # and not at every transaction of the next half minute
                why = f"{room} cannot be read back, and is no longer waited for. {error}"
                self._report(EnvelopeRefused(self._name, "homeserver", why.strip()))


def merged(missed: list[dict[str, Any]], events: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Put a transaction behind what was missed; what stands in both keeps its place in the rooms."""
    known = {text(event, "event_id") for event in missed}
    return (*missed, *(event for event in events if text(event, "event_id") not in known))
