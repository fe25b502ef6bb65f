"""Read deliveries back from the journal: what a stop left, and what did not fit into memory.

A row becomes a delivery again here and nowhere else, with its attempt counted and marked as a
repetition where it may have arrived already.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import SealError
from gateway.flow.destination import Destination, Key
from gateway.flow.rows import delivery_in
from gateway.flow.settle import Settler
from gateway.message.envelope import Delivery
from gateway.message.lifecycle import DeliveryState
from gateway.message.receipt import Unknown
from gateway.message.seal import Sealer
from gateway.notices import JournalFailed, Report
from gateway.ports import Journal, Traits
from gateway.records import DeliveryRow

# One read costs about 2 ms of a reading thread and holds some 0.5 MB.
AT_ONCE = 256
UNDER_WAY = (DeliveryState.SENDING, DeliveryState.STREAMING)
UNFINISHED = (DeliveryState.PENDING, DeliveryState.DEFERRED, *UNDER_WAY)


class TakenDown(Struct, frozen=True):
    """A delivery read back, how many seconds of its pause are left, and whether an earlier life made it."""

    delivery: Delivery
    pause_seconds: float = 0.0
    old: bool = True


class Shelf:
    """Opens rows. `old_seq` is the last delivery of earlier lives: up to there a success may have gone unmarked."""

    def __init__(
        self,
        journal: Journal,
        sealer: Sealer,
        settler: Settler,
        traits_of: Callable[[str], Traits],
        report: Report,
        now: Callable[[], float],
    ) -> None:
        self._journal, self._sealer, self._settler = journal, sealer, settler
        self._traits_of, self._report, self._now = traits_of, report, now
        self.old_seq = 0
        self._reading = 0  # so many reads are under way
        self._forgotten = set[str]()  # since then, by a person: their rows may have been read already

    def take_down(self, row: DeliveryRow) -> TakenDown | None:
        """Open a row; None when it does not open, or must not be sent again without a person's word."""
        try:
            delivery = delivery_in(self._sealer, row)
        except SealError as error:
            self._report(JournalFailed(f"delivery {row.id} does not open: {error}"))
            return None
        idempotent = self._traits_of(row.channel).idempotent
        under_way, fresh = row.state in UNDER_WAY, row.state is DeliveryState.PENDING
        if under_way and not idempotent:
            cut_short = replace(delivery, attempt=row.attempt)  # the journal has counted it
            self._settler.parked(cut_short, Unknown("the gateway stopped while it was being sent"), row.changed_at)
            return None
        replayed = row.expires_at != delivery.expires_at  # only a person's word gives it another expiry
        taken = replace(
            delivery,
            attempt=1 if fresh else row.attempt + 1,
            repeated=under_way or replayed or (idempotent and row.seq <= self.old_seq),
            replayed=replayed,
            expires_at=row.expires_at,
        )
        return TakenDown(taken, self.pause_left(row), old=row.seq <= self.old_seq)

    def pause_left(self, row: DeliveryRow) -> float:
        """Return what is left of a row's pause; a clock that was set back cannot make it longer than it was."""
        return max(0.0, min(row.due_at - self._now(), row.due_at - row.changed_at)) if row.due_at else 0.0

    def forget(self, delivery_id: str) -> None:
        """Take a delivery down no more (a person dropped it), not even by a read that is under way."""
        if self._reading:
            self._forgotten.add(delivery_id)

    async def read(self, destination: Destination) -> list[TakenDown]:
        """Read the next deliveries of a destination's shelf, oldest first, and note on it how far that went."""
        self._reading += 1
        try:
            return [each for each in await self._read(destination) if each.delivery.id not in self._forgotten]
        finally:
            self._reading -= 1
            if not self._reading:
                self._forgotten.clear()

    async def _read(self, destination: Destination) -> list[TakenDown]:
        until, after = destination.last_shelved, destination.after_seq or await self._before(destination.first_shelved)
        rows = await self._journal.deliveries_to(self.address(destination.key), after_seq=after, limit=AT_ONCE)
        taken: list[TakenDown] = []
        for row in rows:
            destination.after_seq = row.seq
            if row.state in UNFINISHED and (delivery := self.take_down(row)) is not None:
                taken.append(delivery)
            if row.id == until:
                break
        else:
            if len(rows) == AT_ONCE:
                return taken
        destination.cleared(until)
        return taken

    def address(self, key: Key) -> bytes:
        """Return the digest under which the journal finds a destination."""
        return self._sealer.lasting_digest("lane", *key)

    async def _before(self, delivery_id: str) -> int:
        row = await self._journal.delivery(delivery_id)
        return 0 if row is None else row.seq - 1
