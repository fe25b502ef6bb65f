"""Get every committed reply to its destination: one queue a destination, attempts, pauses, breaker.

A destination's head blocks what is behind it until it is delivered, given up or parked, so order
holds across retries. Destinations take turns over a few workers a channel; a worker is a task that
takes the next ready destination and makes one attempt. Nothing here waits for the journal: an
attempt's outcome rides along with the next commit, except the durable mark before a send that must
not be repeated.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count as counter
from math import inf

import trio
from msgspec.structs import replace

from gateway.flow import retry
from gateway.flow.settle import Settler
from gateway.message.envelope import Delivery, lane_key
from gateway.message.message import Conversation
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.notices import BreakerChanged, DestinationDisabled, Report
from gateway.ports import Channel

Key = tuple[str, str, str]


class Destination:
    """One queue: its head is what is tried next."""

    __slots__ = ("attempting", "blocked_until", "busy", "circuit", "key", "queue")

    def __init__(self, key: Key, circuit: str) -> None:
        self.key, self.circuit = key, circuit
        self.queue: deque[Delivery] = deque()
        self.busy = False  # a worker has it, it stands in the ready queue, or a pause holds it
        self.attempting = False
        self.blocked_until = 0.0


class Desk:
    """The sending side of one channel: its ready destinations and its idle workers."""

    def __init__(self, channel: Channel | None) -> None:
        self.channel = channel  # None while it is detached: its queues wait
        self.ready: deque[Destination] = deque()
        self.idle: list[trio.lowlevel.Task] = []
        self.workers = 0


class _Attempt:
    """What a worker has under way: one attempt, and the scope that ends it when it takes too long."""

    channel: Channel
    destination: Destination
    delivery: Delivery
    began: float
    scope: trio.CancelScope


class Outbox:
    """All destinations of all channels. `nursery` holds the workers and the one clock for pauses."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        settler: Settler,
        policy: retry.RetryPolicy,
        report: Report,
        now: Callable[[], float],
        spread: Callable[[], float],
    ) -> None:
        self._nursery, self._settler, self._policy = nursery, settler, policy
        self._report, self._now, self._spread = report, now, spread
        self._desks: dict[str, Desk] = {}
        self._destinations: dict[Key, Destination] = {}
        self._breakers: dict[str, retry.Breaker] = {}
        self._disabled: set[str] = set()
        self._pauses: list[tuple[float, int, Destination]] = []
        self._ticket = counter()
        self._pauses_changed = trio.Event()
        self._sending = True
        self._attempting = 0
        self._quiet = trio.lowlevel.ParkingLot()
        self.pending = 0
        nursery.start_soon(self._wake_the_paused)

    def attach(self, channel: Channel) -> None:
        """Serve a channel's deliveries from now on; a channel of that name is replaced, its queues stay."""
        self._desks.setdefault(channel.name, Desk(None)).channel = channel
        for destination in self._destinations.values():
            if destination.key[0] == channel.name and destination.queue and not destination.busy:
                self._make_ready(destination)

    def detach(self, name: str) -> None:
        """Stop serving a channel; its deliveries wait, here and in the journal, until it is attached again."""
        if name in self._desks:
            self._desks[name].channel = None

    def add(self, delivery: Delivery) -> None:
        """Queue a committed delivery behind what its destination already has."""
        message = delivery.message
        key = lane_key(message.channel, message.conversation)
        destination = self._destinations.get(key)
        if destination is None:
            destination = self._destinations[key] = Destination(key, self._circuit_of(delivery))
        destination.queue.append(delivery)
        self.pending += 1
        if not destination.busy:
            self._make_ready(destination)

    def wake(self, channel: str, conversation: Conversation | None = None) -> None:
        """End the pauses of a channel's destinations, or of one: it is known to be reachable again."""
        only = lane_key(channel, conversation) if conversation is not None else None
        woken = [
            entry for entry in self._pauses if entry[2].key == only or (only is None and entry[2].key[0] == channel)
        ]
        for entry in woken:
            self._pauses.remove(entry)
            self._breakers.pop(entry[2].circuit, None)
            entry[2].blocked_until = 0.0
            self._make_ready(entry[2])
        heapq.heapify(self._pauses)

    def resume_at(self, delivery: Delivery, due_at: float) -> None:
        """Queue a delivery read back at start that has a pause to wait out; only valid for a fresh destination."""
        self.add(delivery)
        destination = self._destinations[lane_key(delivery.message.channel, delivery.message.conversation)]
        if len(destination.queue) == 1:
            destination.blocked_until = due_at

    def forget(self, delivery_id: str) -> Delivery | None:
        """Take a waiting delivery out (a person dropped it); None when it is under way or gone."""
        for destination in self._destinations.values():
            for delivery in destination.queue:
                if delivery.id == delivery_id and not (destination.attempting and delivery is destination.queue[0]):
                    destination.queue.remove(delivery)
                    self.pending -= 1
                    return delivery
        return None

    def clear(self, key: Key) -> bool:
        """Say whether a destination has nothing waiting."""
        return key not in self._destinations

    async def empty(self) -> None:
        """Return when nothing waits any more, paused destinations excepted. The caller sets the deadline."""
        while any(desk.ready for desk in self._desks.values()) or self._attempting:
            await self._quiet.park()

    async def drain(self) -> None:
        """Start no further attempt and return when those under way are over. The caller sets the deadline."""
        self._sending = False
        while self._attempting:
            await self._quiet.park()

    def depths(self) -> dict[str, int]:
        """Return how many deliveries each channel has waiting."""
        depths: dict[str, int] = {}
        for destination in self._destinations.values():
            depths[destination.key[0]] = depths.get(destination.key[0], 0) + len(destination.queue)
        return depths

    # -- who is next ------------------------------------------------------------------------------

    def _make_ready(self, destination: Destination) -> None:
        desk = self._desks.get(destination.key[0])
        if desk is None or desk.channel is None:
            destination.busy = False
            return
        destination.busy = True
        desk.ready.append(destination)
        if desk.idle:
            trio.lowlevel.reschedule(desk.idle.pop())
        elif desk.workers < desk.channel.traits.sends_at_once:
            desk.workers += 1
            self._nursery.start_soon(self._work, desk)

    async def _work(self, desk: Desk) -> None:
        """Take ready destinations and make one attempt for each, for ever."""
        attempt = _Attempt()
        while True:
            # One scope whose deadline moves with every attempt: entering one for each would cost more than it does.
            with trio.CancelScope() as attempt.scope:
                await self._take_turns(desk, attempt)
            receipt = Unknown(f"no answer within {self._policy.attempt_seconds:g} s")
            self._conclude(desk, attempt, receipt)

    async def _take_turns(self, desk: Desk, attempt: _Attempt) -> None:
        while True:
            while desk.ready and self._sending:
                await self._attempt(desk, desk.ready.popleft(), attempt)
            desk.idle.append(task := trio.lowlevel.current_task())

            def left(_raise: object, task: trio.lowlevel.Task = task) -> trio.lowlevel.Abort:
                if task in desk.idle:
                    desk.idle.remove(task)
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(left)

    # -- one attempt ------------------------------------------------------------------------------

    async def _attempt(self, desk: Desk, destination: Destination, attempt: _Attempt) -> None:
        now, channel = self._now(), desk.channel
        if channel is None:
            destination.busy = False
        elif not destination.queue:
            self._retire(destination)
        elif not self._hindered(destination, destination.queue[0], now):
            delivery = destination.queue[0]
            attempt.channel, attempt.destination, attempt.delivery, attempt.began = channel, destination, delivery, now
            self._attempting += 1
            destination.attempting = True
            if not channel.traits.idempotent:
                await self._settler.mark_sending(delivery)
            attempt.scope.deadline = trio.current_time() + self._policy.attempt_seconds
            try:
                receipt = await channel.deliver(delivery)
            except Exception as error:  # the channel's bug is contained to this attempt
                receipt = Unknown(f"{type(error).__name__}: {error}")
            attempt.scope.deadline = inf
            self._conclude(desk, attempt, receipt)

    def _hindered(self, destination: Destination, delivery: Delivery, now: float) -> bool:
        """Deal with whatever keeps an attempt from being made now; say whether there was such a thing."""
        if destination.blocked_until > now:
            self._pause(destination, destination.blocked_until)
            return True
        if delivery.expires_at <= now:
            self._give_up(destination, delivery, "expired before it could be delivered")
            return True
        if destination.circuit in self._disabled:
            self._give_up(destination, delivery, "the destination asked never to be sent to again")
            return True
        breaker = self._breakers.get(destination.circuit)
        if breaker is not None and not retry.may_send(breaker, now):
            self._pause(destination, max(breaker.open_until, now + 0.5))
            return True
        return False

    def _conclude(self, desk: Desk, attempt: _Attempt, receipt: Receipt) -> None:
        """Settle what an attempt came to; no checkpoint, so that nothing can come between receipt and record."""
        channel, destination, delivery, began = attempt.channel, attempt.destination, attempt.delivery, attempt.began
        destination.attempting = False
        self._attempting -= 1
        self._settle(channel, destination, delivery, receipt, began)
        if not self._attempting and self._quiet:
            self._quiet.unpark_all()

    def _settle(
        self, channel: Channel, destination: Destination, delivery: Delivery, receipt: Receipt, began: float
    ) -> None:
        self._count(destination, receipt)
        match receipt:
            case Delivered():
                self._settler.delivered(delivery, receipt, began)
                self._next(destination)
            case Bounced(why, disable):
                if disable:
                    self._disabled.add(destination.circuit)
                    self._report(DestinationDisabled(channel.name, destination.circuit, why))
                self._settler.buried(delivery, receipt, began)
                self._next(destination)
            case Unknown() if not channel.traits.idempotent:
                self._settler.parked(delivery, receipt, began)
                self._next(destination)
            case Unknown(why):
                self._again(destination, replace(delivery, repeated=True), Deferred(why), began)
            case Deferred():
                self._again(destination, delivery, receipt, began)

    def _again(self, destination: Destination, delivery: Delivery, receipt: Deferred, began: float) -> None:
        policy = self._policy
        if delivery.attempt >= policy.attempts:
            self._settler.buried(delivery, Bounced(f"gave up after {delivery.attempt} attempts: {receipt.why}"), began)
            self._next(destination)
            return
        seconds = retry.pause(policy, delivery.attempt, self._spread(), receipt.after_seconds)
        destination.blocked_until = self._now() + seconds
        self._settler.deferred(delivery, receipt, began, destination.blocked_until)
        destination.queue[0] = replace(delivery, attempt=delivery.attempt + 1)
        self._pause(destination, destination.blocked_until)

    def _give_up(self, destination: Destination, delivery: Delivery, why: str) -> None:
        self._settler.buried(delivery, Bounced(why), self._now())
        self._next(destination)

    def _next(self, destination: Destination) -> None:
        destination.queue.popleft()
        self.pending -= 1
        destination.blocked_until = 0.0
        if destination.queue:
            self._make_ready(destination)
        else:
            self._retire(destination)

    def _retire(self, destination: Destination) -> None:
        destination.busy = False
        if self._destinations.get(destination.key) is destination:
            del self._destinations[destination.key]

    # -- pauses and breakers ----------------------------------------------------------------------

    def _pause(self, destination: Destination, until: float) -> None:
        heapq.heappush(self._pauses, (until, next(self._ticket), destination))
        self._pauses_changed.set()

    async def _wake_the_paused(self) -> None:
        while True:
            self._pauses_changed = trio.Event()
            wait = self._pauses[0][0] - self._now() if self._pauses else 3600.0
            with trio.move_on_after(max(wait, 0.0)):
                await self._pauses_changed.wait()
            now = self._now()
            while self._pauses and self._pauses[0][0] <= now:
                self._make_ready(heapq.heappop(self._pauses)[2])

    def _circuit_of(self, delivery: Delivery) -> str:
        desk = self._desks.get(delivery.message.channel)
        circuit_of = getattr(desk.channel, "circuit_of", None) if desk is not None else None
        return f"{delivery.message.channel} {circuit_of(delivery) if circuit_of else ''}"

    def _count(self, destination: Destination, receipt: Receipt) -> None:
        """A refusal of one message (Bounced) is an answer; only silence and 'not now' count against the circuit."""
        ok = isinstance(receipt, (Delivered, Bounced))
        breaker = self._breakers.get(destination.circuit)
        if breaker is None:
            if ok:
                return
            breaker = self._breakers[destination.circuit] = retry.Breaker()
        if retry.count(breaker, ok=ok, now=self._now(), spread=self._spread()):
            state = "closed" if ok else "open"
            self._report(BreakerChanged(destination.key[0], destination.circuit, state))
        if ok:
            del self._breakers[destination.circuit]
