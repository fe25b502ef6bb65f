"""Write what an attempt came to: receipts become journal records and notices.

Marks of success ride along with the next commit that somebody waits for: losing one in a crash
costs a repetition under the same idempotency key, never a message.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from gateway.flow.story import Attempt
from gateway.message.envelope import Delivery
from gateway.message.lifecycle import DeliveryState
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from gateway.message.seal import RecordKind, Sealer
from gateway.notices import DeliveryBuried, DeliveryDeferred, DeliverySettled, DeliveryUnknown, Report
from gateway.ports import Journal
from gateway.records import Moved, Outcome, Settle

_DELIVERED = DeliveryState.DELIVERED  # looked up by name: a class's member takes ten times as long


class Settler:
    """Records the outcome of attempts. `began` is when the attempt started, in epoch seconds."""

    def __init__(self, journal: Journal, sealer: Sealer, report: Report, now: Callable[[], float]) -> None:
        self._journal, self._sealer, self._report, self._now = journal, sealer, report, now

    def delivered(self, delivery: Delivery, receipt: Delivered, began: float) -> None:
        """It arrived."""
        now = self._settle(delivery, _DELIVERED, receipt, began)
        self._report(
            DeliverySettled(delivery.id, delivery.message.channel, delivery.attempt, now - delivery.created_at)
        )

    def deferred(
        self, delivery: Delivery, receipt: Deferred, began: float, due_at: float, *, told: bool = False
    ) -> None:
        """It will be tried again at `due_at`. `told`: its row says why already, and must not grow with each attempt."""
        now = self._settle(delivery, DeliveryState.DEFERRED, receipt, began, due_at, told=told)
        self._report(
            DeliveryDeferred(delivery.id, delivery.message.channel, delivery.attempt, due_at - now, receipt.why)
        )

    def buried(self, delivery: Delivery, receipt: Bounced, began: float, gone: Callable[[], None]) -> None:
        """It gave up; a dead letter. `gone` runs after the commit.

        What is behind it goes only then: after a crash it would be tried again, and arrive behind the others.
        """
        self._settle(delivery, DeliveryState.DEAD, receipt, began, gone=gone)
        self._report(DeliveryBuried(delivery.id, delivery.message.channel, receipt.why))

    def parked(self, delivery: Delivery, receipt: Unknown, began: float) -> None:
        """Nobody knows whether it arrived, and sending it again might say it twice: a person decides."""
        self._settle(delivery, DeliveryState.UNKNOWN, receipt, began)
        self._report(DeliveryUnknown(delivery.id, delivery.message.channel, receipt.why))

    async def mark_sending(self, delivery: Delivery) -> bool:
        """Commit that an attempt which cannot be repeated safely is about to start; False when it must not be made."""
        committed = trio.Event()
        outcomes: list[Outcome] = []

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            committed.set()

        self._journal.submit(
            Settle(id=delivery.id, state=DeliveryState.SENDING, at=self._now(), attempt=delivery.attempt), done
        )
        await committed.wait()
        return isinstance(outcomes[0], Moved)

    def _settle(
        self,
        delivery: Delivery,
        state: DeliveryState,
        receipt: Receipt,
        began: float,
        due_at: float = 0.0,
        gone: Callable[[], None] | None = None,
        *,
        told: bool = False,
    ) -> float:
        now = self._now()
        plain = isinstance(receipt, Delivered) and not receipt.remote_id and delivery.attempt == 1
        sealed = b""
        if not (plain or told):  # the row itself tells all there is to a first attempt that got through
            note = Attempt(at=began, number=delivery.attempt, receipt=receipt, seconds=now - began)
            sealed = self._sealer.seal(RecordKind.NOTE, delivery.id, note)
        self._journal.submit(
            Settle(id=delivery.id, state=state, at=now, attempt=delivery.attempt, note=sealed, due_at=due_at),
            None if gone is None else lambda _outcome: gone(),
        )
        return now
