"""One conversation's lane: its queue, its walk, and what of it is under way to the journal. `lanes.py` moves it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import trio

from gateway.flow.walk import Ending
from gateway.message.envelope import Envelope

Key = tuple[str, str, str]

# How many ends of one conversation may be under way to the journal: what queued up behind a slow model is walked
# in pieces of some 3 ms, and others have their turn in between.
MOST_UNCOMMITTED = 32


class Lane:
    """What is known of it. Changed by `Lanes` alone."""

    __slots__ = ("applied", "coming", "key", "queue", "settled", "uncommitted", "walking")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.coming = 0  # messages whose accepting commit is under way; nobody may overtake them
        self.applied: set[str] = set()  # edits that were folded into a message ahead of them
        self.queue: deque[Envelope] = deque()
        self.walking: Envelope | None = None
        self.uncommitted = 0  # ends that are submitted and not yet committed
        self.settled: trio.Event | None = None  # where a walk waits until there are none

    @property
    def may_start(self) -> bool:
        """Whether the next message may be walked."""
        return self.walking is None and self.uncommitted < MOST_UNCOMMITTED

    @property
    def is_free(self) -> bool:
        """Whether nobody is before a message that comes now."""
        return self.may_start and not self.queue and not self.coming

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of it."""
        return self.walking is None and not (self.queue or self.coming or self.uncommitted)


class Led:
    """A walk that began before its message was committed. `next` is what remains to be done.

    None when nothing remains: the walk has ended, and its end was submitted together with the message.
    """

    __slots__ = ("_follow", "next", "walk")

    def __init__(self, follow: Callable[[Callable[[], None] | None], None]) -> None:
        self._follow = follow
        self.next: Callable[[], None] | None = None
        self.walk: Coroutine[Any, Any, Ending] | None = None

    def go_on(self) -> None:
        """The message is committed: do what remains."""
        if self.next is not None:
            self._follow(self.next)

    def give_up(self) -> None:
        """The message was not stored: end the walk."""
        if self.walk is not None:
            self.walk.close()
        if self.next is not None:
            self._follow(None)


ENDED = Led(lambda _: None)
"""A walk of which nothing remains."""
