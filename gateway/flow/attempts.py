"""Make one attempt at a delivery, and decide what follows from its receipt: settled, or again after a pause."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import bounded, in_words, lone, stays_contained
from gateway.flow import retry
from gateway.flow.circuits import Circuit, Circuits
from gateway.flow.destination import DeliverNow, Destination, Waiting
from gateway.flow.disabled import Disabled
from gateway.flow.settle import Settler
from gateway.flow.timers import Timers
from gateway.message.envelope import Delivery
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown, Unsent
from gateway.notices import DestinationDisabled, Report
from gateway.ports import Channel

# A channel that keeps its promise tells before the deadline; this is for one that does not.
_GRACE_SECONDS = 5.0


class Again(Struct, frozen=True):
    """To be tried again after so many seconds, as this; `offline` is why, when nothing could go there."""

    delivery: Delivery
    seconds: float
    offline: str = ""


class Attempt:
    """What a worker has under way: one attempt, and the scope that ends it when it takes too long."""

    __slots__ = ("began", "channel", "circuit", "destination", "head", "scope", "under_way")
    channel: Channel
    destination: Destination
    head: Waiting
    circuit: Circuit
    began: float
    scope: trio.CancelScope
    under_way: bool

    def __init__(self) -> None:
        self.under_way = False

    def begins(self, channel: Channel, destination: Destination, head: Waiting, circuit: Circuit, began: float) -> None:
        """Remember what is attempted from now on; `began` is epoch seconds."""
        self.channel, self.destination, self.head, self.circuit, self.began = channel, destination, head, circuit, began
        self.under_way = True


def disabled_as(circuit: Circuit, delivery: Delivery) -> str:
    """Name what a 'never again' is about: the address behind the circuit, else the conversation."""
    return circuit[1] or delivery.message.conversation.id


def sound(receipt: Any) -> Receipt:
    """Return a channel's receipt, or one that tells what the channel gave instead of one."""
    if type(receipt) is Delivered and receipt.remote_id == "":
        return receipt
    try:
        wanted: Any = Unsent if type(receipt) is Unsent else Receipt
        checked: Receipt = msgspec.convert(msgspec.to_builtins(receipt), wanted)
    except (msgspec.ValidationError, TypeError, OverflowError, RecursionError):
        return Unknown(f"the channel answered with {type(receipt).__name__} instead of a receipt")
    # Kept with the attempt, with its circuit and before each watcher: it may quote a platform's whole answer.
    return checked if isinstance(checked, Delivered) else replace(checked, why=bounded(checked.why))


class Attempts:
    """Sends, and settles what came of it. Holds no queue."""

    def __init__(
        self,
        settler: Settler,
        disabled: Disabled,
        circuits: Circuits,
        policy: retry.RetryPolicy,
        report: Report,
        now: Callable[[], float],
        spread: Callable[[], float],
        timers: Timers,
    ) -> None:
        self._settler, self._disabled, self._circuits = settler, disabled, circuits
        self._policy, self._report, self._now, self._spread = policy, report, now, spread
        self._timers = timers
        # Begun without a worker, the oldest first: a channel that never says what came of one must not hold up
        # its destination for ever.
        self._owed: dict[Attempt, tuple[float, Callable[[Receipt], None]]] = {}
        self._watching = False

    @property
    def unanswered(self) -> Unknown:
        """What an attempt comes to whose deadline has passed."""
        return Unknown(f"no answer within {self._policy.attempt_seconds:g} s")

    async def send(self, attempt: Attempt) -> Receipt | None:
        """Return the receipt; None when a person dropped the delivery before it could be sent.

        Cancels the attempt's scope at its deadline.
        """
        channel, delivery = attempt.channel, attempt.head.delivery
        if not channel.traits.idempotent and not await self._settler.mark_sending(delivery):
            return None
        attempt.scope.deadline = trio.current_time() + self._policy.attempt_seconds
        try:
            receipt = sound(await channel.deliver(delivery))
        except trio.Cancelled:
            raise
        except BaseException as error:  # the channel's bug is contained to this attempt
            if not stays_contained(error):
                raise
            receipt = Unknown(in_words(lone(error)))
        attempt.scope.deadline = inf
        return receipt

    def send_now(self, attempt: Attempt, deliver_now: DeliverNow, now: float, then: Callable[[Receipt], None]) -> bool:
        """Begin the attempt without waiting, if the channel can now. False: nothing was sent, `then` is not called."""
        deadline = now + self._policy.attempt_seconds
        try:
            begun = deliver_now(attempt.head.delivery, deadline, then)
        except trio.Cancelled:
            raise
        except BaseException as error:  # the channel's bug is contained to this attempt
            if not stays_contained(error):
                raise
            then(Unknown(in_words(lone(error))))
            return True
        if begun and attempt.under_way:
            self._owed[attempt] = (deadline + _GRACE_SECONDS, then)
            if not self._watching:
                self._watch()
        return begun

    def _watch(self) -> None:
        """End what is owed for too long, and look again when the next one may be."""
        now = trio.current_time()
        for attempt, (latest, then) in list(self._owed.items()):
            if latest > now:
                break
            del self._owed[attempt]
            then(self.unanswered)
        self._watching = bool(self._owed)
        if self._watching:
            self._timers.at(next(iter(self._owed.values()))[0], self._watch)

    def settle(self, attempt: Attempt, receipt: Receipt | None, gone: Callable[[], None]) -> Again | None:
        """Record what came of an attempt; unless it is to be tried again, `gone` is called when the next may go."""
        self._owed.pop(attempt, None)
        if receipt is None:
            self._circuits.not_tried(attempt.circuit)  # else the circuit would wait for its answer for ever
            gone()
            return None
        channel, delivery, circuit, began = attempt.channel, attempt.head.delivery, attempt.circuit, attempt.began
        # A refusal of one message (Bounced) is an answer; only silence and "not now" count against the circuit.
        # A channel without a connection knows so itself, and wakes its deliveries: no breaker has to find out.
        if isinstance(receipt, Deferred) and receipt.offline:
            self._circuits.forgive(circuit)
        elif isinstance(receipt, (Delivered, Bounced)):
            self._circuits.count(circuit, ok=True)
        else:
            self._circuits.count(circuit, ok=False, why=receipt.why)
        match receipt:
            case Delivered():
                self._settler.delivered(delivery, receipt, began)
                gone()
            case Bounced(why, disable):
                if disable:
                    address = disabled_as(circuit, delivery)
                    self._disabled.add(channel.name, address)
                    self._report(DestinationDisabled(channel.name, address, why))
                self._settler.buried(delivery, receipt, began, gone)
            case Unknown() if not channel.traits.idempotent:
                self._settler.parked(delivery, receipt, began)
                gone()
            case Unknown(why):
                return self._again(attempt, replace(delivery, repeated=True), Deferred(why), gone)
            case Deferred():
                return self._again(attempt, delivery, receipt, gone)
        return None

    def _again(self, attempt: Attempt, delivery: Delivery, receipt: Deferred, gone: Callable[[], None]) -> Again | None:
        policy, began, unsent = self._policy, attempt.began, isinstance(receipt, Unsent)
        nothing_went = unsent or receipt.offline
        if delivery.attempt >= policy.attempts and not nothing_went:
            why = f"gave up after {delivery.attempt} attempts: {receipt.why}"
            self._settler.buried(delivery, Bounced(why), began, gone)
            return None
        seconds = retry.pause(policy, delivery.attempt, self._spread(), receipt.after_seconds)
        told = nothing_went and receipt.why == attempt.head.offline
        self._settler.deferred(delivery, receipt, began, self._now() + seconds, told=told)
        if receipt.offline:
            return Again(delivery, seconds, receipt.why)
        if unsent:  # pauses grow as others do; half of the attempts stay for an address that answers again
            number = min(delivery.attempt + 1, max(delivery.attempt, policy.attempts // 2))
            return Again(replace(delivery, attempt=number), seconds, receipt.why)
        return Again(replace(delivery, attempt=delivery.attempt + 1), seconds)
