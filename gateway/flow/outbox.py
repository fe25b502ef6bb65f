"""Get every committed reply to its destination: one queue a destination, attempts, pauses, breaker.

A destination's head blocks what is behind it until it is delivered, given up or parked, so order
holds across retries. Destinations take turns over a few workers a channel; a worker is a task that
takes the next ready destination and makes one attempt. Nothing here waits for the journal: an
attempt's outcome rides along with the next commit, except the durable mark before a send that must
not be repeated. Pauses and expiry run on Trio's clock, which never jumps; the journal gets wall-clock times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf

import trio

from gateway.flow import retry
from gateway.flow.attempts import Attempt, Attempts, disabled_as, sound
from gateway.flow.circuits import Circuit, Circuits, circuit_of
from gateway.flow.destination import Desk, Destination, Key, Meant, Standing, Waiting, fresh, timed
from gateway.flow.disabled import Disabled
from gateway.flow.settle import Settler
from gateway.flow.shelf import Shelf
from gateway.flow.standstill import Standstill
from gateway.flow.timers import Timers
from gateway.message.envelope import Delivery, lane_key
from gateway.message.message import Conversation
from gateway.message.receipt import Bounced, Receipt
from gateway.notices import JournalFailed, Report
from gateway.ports import Channel
from gateway.records import DeliveryRow
from protocols.transport.steps import InStep, at_once

# A destination's share of memory: two seconds of the fastest sink, half a megabyte of chat.
MOST_EACH = 256
# What it keeps while all of them together have too much: enough to be read back without a pause each time.
LEAST_EACH = 8
_READ_AGAIN_SECONDS = 1.0


class Outbox:
    """All destinations of all channels. `nursery` holds the workers; `refused` says that nothing may be sent now."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        settler: Settler,
        shelf: Shelf,
        disabled: Disabled,
        timers: Timers,
        policy: retry.RetryPolicy,
        report: Report,
        now: Callable[[], float],
        spread: Callable[[], float],
        most_in_memory: int = 50_000,
        refused: Callable[[], bool] = lambda: False,
        in_step: InStep = at_once,
    ) -> None:
        self._in_step = in_step
        self._nursery, self._settler, self._shelf, self._timers = nursery, settler, shelf, timers
        self._report, self._now, self._most_in_memory = report, now, most_in_memory
        self.disabled = disabled
        self.circuits = Circuits(timers, self._go, spread, report, policy.cap_seconds)
        self._standstill = Standstill(refused, timers, self._go)
        self._attempts = Attempts(settler, disabled, self.circuits, policy, report, now, spread, timers)
        self._desks: dict[str, Desk] = {}
        self._destinations: dict[Key, Destination] = {}
        self._restored: dict[bytes, Destination] = {}
        self._sending = True
        self._attempting = 0
        self._shelved = 0
        self._quiet = trio.lowlevel.ParkingLot()
        self._moment = trio.lowlevel.current_clock().current_time  # what `trio.current_time` asks behind two more calls
        self._began = self._moment()
        self.pending = 0

    @property
    def in_memory(self) -> int:
        """How many of the pending deliveries are held in memory."""
        return self.pending - self._shelved

    def attach(self, channel: Channel) -> None:
        """Serve a channel's deliveries from now on; a channel of that name is replaced, its queues stay."""
        self._desks.setdefault(channel.name, Desk()).serve(channel)
        for destination in list(self._destinations.values()):
            if destination.key[0] == channel.name and not destination.busy:
                self._make_ready(destination, self._moment())

    def detach(self, name: str) -> None:
        """Stop serving a channel; its deliveries wait, here and in the journal, until it is attached again."""
        desk = self._desks.get(name)
        if desk is not None:
            desk.serve(None)
            for destination in desk.ready:  # nobody is left to take them: they wait for the channel as all others do
                destination.busy = False
            desk.ready.clear()
            self._tell_quiet()

    def add(self, delivery: Delivery, *, old: bool = False) -> None:
        """Queue a committed delivery behind what its destination has, in commit order; `old`: of an earlier life."""
        destination, now = self._destination(delivery), self._moment()
        self.pending += 1
        if destination.shelved or (destination.queue and len(destination.queue) >= self._most):
            destination.shelve(delivery.id)
            self._shelved += 1
        elif old or delivery.replayed:
            destination.queue.append(timed(delivery, now=now, wall=self._now(), since=-inf if old else now))
        else:
            destination.queue.append(fresh(delivery, now))
        if not destination.busy:
            destination.busy = True
            self._in_step(partial(self._go, destination))

    def restore(self, row: DeliveryRow) -> None:
        """Take up a delivery of an earlier life; rows come oldest first. What exceeds its share is not even opened."""
        self._shelf.old_seq = row.seq
        known = self._restored.get(row.destination)
        if known is not None and (known.shelved or len(known.queue) >= self._most):
            known.shelve(row.id)
            self._shelved += 1
            self.pending += 1
        elif (taken := self._shelf.take_down(row)) is not None:
            destination = self._restored[row.destination] = self._destination(taken.delivery)
            if not destination.queue:
                destination.blocked_until = self._moment() + taken.pause_seconds
            self.add(taken.delivery, old=True)

    def restored(self) -> None:
        """Everything that was unfinished is taken up."""
        self._restored = {}

    def wake(self, channel: str, conversation: Conversation | None = None, only: Meant | None = None) -> None:
        """End the pauses of a channel's destinations, or of one, or those of which `only` means the next delivery."""
        if conversation is None and only is None:
            self.circuits.forgive_channel(channel)
        named = lane_key(channel, conversation) if conversation is not None else None
        for key in [named] if named else [key for key in self._destinations if key[0] == channel]:
            if (destination := self._destinations.get(key)) is not None and destination.queue and destination.paused:
                head = destination.queue[0].delivery
                if only is None or only(head):
                    self.circuits.forgive(circuit_of(self._desks.get(channel), head))
                    destination.blocked_until = 0.0
                    self._resume(destination, destination.paused)

    def forget(self, delivery_id: str) -> Delivery | None:
        """Take a waiting delivery out (a person dropped it); None when it is under way, on the shelf, or gone.

        What is under way is not tried again, whatever comes of it.
        """
        for destination in self._destinations.values():
            standing = destination.standing(delivery_id)
            if standing is not None and standing.under_way:
                destination.dropped = True
            elif standing is not None:
                delivery = destination.queue[standing.before].delivery
                del destination.queue[standing.before]
                self.pending -= 1
                if not standing.before:
                    destination.blocked_until = 0.0
                    self._resume(destination, destination.paused)
                return delivery
        self._shelf.forget(delivery_id)
        return None

    def standing(self, delivery_id: str) -> Standing | None:
        """Say where a delivery stands in its queue; None when it is on the shelf, or gone."""
        return next(filter(None, (each.standing(delivery_id) for each in self._destinations.values())), None)

    def clear(self, key: Key) -> bool:
        """Say whether a destination has nothing waiting, and its channel is served."""
        desk = self._desks.get(key[0])
        return desk is not None and desk.channel is not None and key not in self._destinations

    @contextmanager
    def occupied(self, key: Key) -> Iterator[None]:
        """Keep a clear destination for a reply that is streamed there; what is added meanwhile waits behind it."""
        destination = self._destinations[key] = Destination(key)
        destination.busy = True
        try:
            yield
        finally:
            self._go_on(destination)

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
        depths = Counter[str]()
        for key, destination in self._destinations.items():
            depths[key[0]] += len(destination.queue) + destination.shelved
        return depths

    # -- who is next ------------------------------------------------------------------------------

    @property
    def _most(self) -> int:
        return MOST_EACH if self.in_memory < self._most_in_memory else LEAST_EACH

    def _destination(self, delivery: Delivery) -> Destination:
        key = lane_key(delivery.message.channel, delivery.message.conversation)
        destination = self._destinations.get(key)
        if destination is None:
            destination = self._destinations[key] = Destination(key)
        return destination

    def _make_ready(self, destination: Destination, now: float) -> None:
        desk = self._desks.get(destination.key[0])
        if desk is None or desk.channel is None:
            destination.busy = False
            return
        destination.busy = True
        if self._begin_now(desk, destination, now):
            return
        desk.ready.append(destination)
        self._staff(desk)

    def _go(self, destination: Destination) -> None:
        self._make_ready(destination, self._moment())

    def _staff(self, desk: Desk) -> None:
        """Put one more worker to the ready destinations, if the channel takes one more attempt at once."""
        if desk.to_spare <= 0:
            return
        if desk.idle:
            trio.lowlevel.reschedule(desk.idle.pop())
        else:
            desk.workers += 1
            self._nursery.start_soon(self._work, desk)

    def _begin_now(self, desk: Desk, destination: Destination, now: float) -> bool:
        """Begin an attempt without a worker where the channel can send without waiting; False when it cannot."""
        # While one is being begun the channel may answer before it returns; a deep queue must not become a deep stack.
        deliver_now, channel = desk.deliver_now, desk.channel
        if deliver_now is None or channel is None or not destination.queue or not self._sending:
            return False
        if desk.ready or desk.beginning or desk.to_spare <= 0:
            return False
        head = destination.queue[0]
        circuit = circuit_of(desk, head.delivery)
        if self._may_wait(destination, head, circuit, now):
            return False
        attempt = Attempt()
        attempt.begins(channel, destination, head, circuit, self._now())

        def answered(receipt: Receipt) -> None:
            if attempt.under_way:  # a channel's bug must not settle an attempt twice
                desk.begun -= 1
                self._conclude(attempt, sound(receipt))
                if desk.ready:
                    self._staff(desk)

        # Counted first: what cannot be finished may be answered before the call returns.
        desk.begun += 1
        self._attempting += 1
        destination.attempting = desk.beginning = True
        begun = self._attempts.send_now(attempt, deliver_now, now, answered)
        desk.beginning = False
        if begun or not attempt.under_way:
            return True
        desk.begun -= 1
        self._attempting -= 1
        destination.attempting = attempt.under_way = False
        return False

    def _may_wait(self, destination: Destination, head: Waiting, circuit: Circuit, now: float) -> bool:
        """Say whether something may hinder an attempt; that is the workers' to deal with."""
        return (
            destination.blocked_until > now
            or head.ends_at <= now
            or self.circuits.troubled(circuit)
            or self.disabled.holds(circuit[0], disabled_as(circuit, head.delivery))
            or self._standstill.refused()
        )

    async def _work(self, desk: Desk) -> None:
        """Take ready destinations and make one attempt for each, for ever."""
        attempt = Attempt()
        while True:
            # One scope whose deadline moves with every attempt: entering one for each would cost more than it does.
            with trio.CancelScope() as attempt.scope:
                await self._take_turns(desk, attempt)
            if attempt.under_way:
                self._conclude(attempt, self._attempts.unanswered)

    async def _take_turns(self, desk: Desk, attempt: Attempt) -> None:
        """Work until an attempt's deadline has passed; a receipt may have come all the same, behind a shield."""
        while True:
            while desk.ready and self._sending and desk.to_spare >= 0:
                await self._attempt(desk, desk.ready.popleft(), attempt)
                if attempt.scope.cancel_called:
                    return
            await desk.rest()

    # -- the head's turn --------------------------------------------------------------------------

    async def _attempt(self, desk: Desk, destination: Destination, attempt: Attempt) -> None:
        channel = desk.channel
        if channel is None:
            destination.busy = False
        elif not destination.queue:
            await self._fill(destination)
        else:
            head = destination.queue[0]
            circuit = circuit_of(desk, head.delivery)
            if not self._hindered(destination, head, circuit):
                attempt.begins(channel, destination, head, circuit, self._now())
                self._attempting += 1
                destination.attempting = True
                self._conclude(attempt, await self._attempts.send(attempt))
        self._tell_quiet()

    def _conclude(self, attempt: Attempt, receipt: Receipt | None) -> None:
        """Settle what an attempt came to; no checkpoint, so that nothing can come between receipt and record."""
        destination = attempt.destination
        destination.attempting = attempt.under_way = False
        self._attempting -= 1
        head, dropped, destination.dropped = attempt.head, destination.dropped, False
        again = self._attempts.settle(attempt, receipt, lambda: self._next(destination, head))
        if again is not None and dropped:
            self._next(destination, head)
        elif again is not None:
            destination.queue[0] = Waiting(again.delivery, head.ends_at, again.offline)
            self._pause(destination, self._moment() + again.seconds)
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        if not self._attempting and self._quiet:
            self._quiet.unpark_all()

    def _hindered(self, destination: Destination, head: Waiting, circuit: Circuit) -> bool:
        """Deal with whatever keeps an attempt from being made now; say whether there was such a thing."""
        now, delivery, why = self._moment(), head.delivery, ""
        if destination.blocked_until > now:
            self._pause(destination, destination.blocked_until)
            return True
        if head.ends_at <= now:
            why = "expired before it could be delivered"
        elif self.disabled.holds(circuit[0], disabled_as(circuit, delivery)):
            why = "the destination asked never to be sent to again"
        if why:
            self._settler.buried(delivery, Bounced(why), self._now(), lambda: self._next(destination, head))
            return True
        return self._standstill.holds(destination) or self.circuits.holds(circuit, destination)

    def _next(self, destination: Destination, settled: Waiting) -> None:
        if destination.queue and destination.queue[0] is settled:  # else a person dropped it meanwhile
            destination.queue.popleft()
            self.pending -= 1
        destination.blocked_until = 0.0
        self._go_on(destination)

    def _go_on(self, destination: Destination) -> None:
        if destination.queue or destination.shelved:
            self._make_ready(destination, self._moment())
        else:
            self._retire(destination)

    def _retire(self, destination: Destination) -> None:
        destination.busy = False
        if self._destinations.get(destination.key) is destination:
            del self._destinations[destination.key]

    async def _fill(self, destination: Destination) -> None:
        """Read more from the shelf, or let the destination go when there is nothing on it."""
        if not destination.shelved:
            self._retire(destination)
            return
        before, self._attempting = destination.shelved, self._attempting + 1
        try:
            taken = await self._shelf.read(destination)
        except Exception as error:  # the disk: what is in the journal is not lost, only later
            self._report(JournalFailed(f"the deliveries of {destination.key[0]} cannot be read back: {error}"))
            self._pause(destination, self._moment() + _READ_AGAIN_SECONDS)
            return
        finally:
            self._attempting -= 1
            self._tell_quiet()
        now, wall = self._moment(), self._now()
        since = {True: -inf, False: self._began}
        read = [timed(each.delivery, now=now, wall=wall, since=since[each.old]) for each in taken]
        self._filled(destination, read, before)

    def _filled(self, destination: Destination, waiting: list[Waiting], before: int) -> None:
        destination.queue.extend(waiting)
        if not destination.shelved:  # the whole shelf: those a person dropped meanwhile are gone with it
            self._shelved -= before
            self.pending -= before - len(waiting)
        else:
            destination.shelved -= len(waiting)
            self._shelved -= len(waiting)
        self._make_ready(destination, self._moment())

    # -- pauses -----------------------------------------------------------------------------------

    def _pause(self, destination: Destination, until: float) -> None:
        destination.blocked_until, destination.paused = until, destination.paused_before + 1
        destination.paused_before = number = destination.paused
        self._timers.at(until, lambda: self._resume(destination, number))

    def _resume(self, destination: Destination, number: int) -> None:
        """End a pause, unless it was ended before: a destination must never be ready twice."""
        if number and destination.paused == number:
            destination.paused = 0
            self._make_ready(destination, self._moment())
