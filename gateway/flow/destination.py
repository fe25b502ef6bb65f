"""One destination's queue: a few hundred deliveries in memory, the rest stays in the journal.

What is on the shelf is younger than all that is in memory; it is read back when the queue has run
empty, up to the last one that was shelved. So order holds, and a destination that is down for a day
costs memory for a minute of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio
from msgspec import Struct

from gateway.message.envelope import Delivery
from gateway.message.receipt import Receipt
from gateway.ports import Channel

Key = tuple[str, str, str]
DeliverNow = Callable[[Delivery, float, Callable[[Receipt], None]], bool]
"""How a channel sends without waiting (`ports.Prompt`)."""
Meant = Callable[[Delivery], bool]


class Waiting(Struct, frozen=True):
    """A delivery in memory; `ends_at` is when it expires, on Trio's clock.

    `offline` is why its last attempt found nobody there, as its row says already.
    """

    delivery: Delivery
    ends_at: float
    offline: str = ""


def fresh(delivery: Delivery, now: float) -> Waiting:
    """Put an end to the waiting of a delivery that was made just now."""
    return Waiting(delivery, now + delivery.expires_at - delivery.created_at)


def timed(delivery: Delivery, *, now: float, wall: float, since: float) -> Waiting:
    """Put an end to a delivery's waiting, on Trio's clock: no jump of the wall clock expires it or keeps it for ever.

    `since` is the moment of Trio's clock before which it was not made: it is no older than that.
    """
    left, most = delivery.expires_at - wall, delivery.expires_at - delivery.created_at
    if not delivery.replayed:
        left = max(min(left, most), most - (now - since))
    return Waiting(delivery, now + left)


class Standing(Struct, frozen=True):
    """Where a delivery stands: how many are before it, whether it is being attempted, whether its destination rests.

    `offline` is why the first of its queue found nobody there.
    """

    before: int
    under_way: bool
    paused: bool
    offline: str = ""


class Destination:
    """The head of `queue` is what is tried next. `blocked_until` is of Trio's clock."""

    __slots__ = (
        "after_seq",
        "attempting",
        "blocked_until",
        "busy",
        "dropped",
        "first_shelved",
        "key",
        "last_shelved",
        "paused",
        "paused_before",
        "queue",
        "shelved",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.queue: deque[Waiting] = deque()
        self.busy = False  # a worker has it, it stands in the ready queue, or a pause holds it
        self.attempting = False
        self.dropped = False  # the head, by a person while it was attempted: no attempt follows
        self.blocked_until = 0.0
        # The number of the pause it is in, 0 for none: a pause that was ended early must not end the next one.
        self.paused = self.paused_before = 0
        self.shelved = 0
        self.first_shelved = self.last_shelved = ""
        self.after_seq = 0  # how far the shelf was read; 0: not yet, begin at `first_shelved`

    def standing(self, delivery_id: str) -> Standing | None:
        """Say where a delivery stands in this queue; None when it does not."""
        for before, waiting in enumerate(self.queue):
            if waiting.delivery.id == delivery_id:
                under_way = self.attempting and not before
                return Standing(
                    before=before, under_way=under_way, paused=bool(self.paused), offline=self.queue[0].offline
                )
        return None

    def shelve(self, delivery_id: str) -> None:
        """Leave the youngest delivery in the journal."""
        self.first_shelved = self.first_shelved or delivery_id
        self.last_shelved = delivery_id
        self.shelved += 1

    def cleared(self, until: str) -> None:
        """The shelf was read up to `until`; nothing is on it unless something came meanwhile."""
        if self.last_shelved == until:
            self.shelved, self.first_shelved, self.last_shelved, self.after_seq = 0, "", "", 0


class Desk:
    """The sending side of one channel: its ready destinations and its idle workers."""

    def __init__(self) -> None:
        self.channel: Channel | None = None  # None while it is detached: its queues wait
        self.circuit_of: Callable[[Delivery], str] | None = None
        self.deliver_now: DeliverNow | None = None  # of a channel that can send without waiting, and repeat it
        self.begun = 0  # attempts under way without a worker
        self.beginning = False  # such an attempt is being handed to the channel just now
        self.ready: deque[Destination] = deque()
        self.idle: list[trio.lowlevel.Task] = []
        self.workers = 0

    def serve(self, channel: Channel | None) -> None:
        """Send over this channel from now on, or over none."""
        self.channel = channel
        self.circuit_of = getattr(channel, "circuit_of", None)
        repeatable = channel is not None and channel.traits.idempotent
        self.deliver_now = getattr(channel, "deliver_now", None) if repeatable else None

    @property
    def to_spare(self) -> int:
        """How many attempts more may be under way: negative after a reload that allows fewer than there are."""
        most = 0 if self.channel is None else self.channel.traits.sends_at_once
        return most - self.begun - self.workers + len(self.idle)

    async def rest(self) -> None:
        """Return when this worker is wanted again: whoever wants one takes it out of `idle` and reschedules it."""
        self.idle.append(task := trio.lowlevel.current_task())

        def left(_raise: object) -> trio.lowlevel.Abort:
            if task in self.idle:
                self.idle.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(left)
