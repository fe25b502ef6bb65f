"""What both journals do the same way: reading, and recovery on top of submitting and reading.

A journal is composed of a `submit` and a `read`; this adds the Protocol's other methods.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import trio

from gateway.journal import reading
from gateway.journal.clerk import Done
from gateway.journal.ledger import Chore, Entry
from gateway.journal.recovery import Unfinished, pages
from gateway.journal.uptime import wall_before
from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.records import DeliveryRow, InboundRow, Recovered


class Store(Protocol):
    """The part that differs: how works reach the tables, and on which connection they are read."""

    def submit(self, work: Entry, done: Done = None) -> None:
        """Queue a work."""

    @property
    def backlog(self) -> int:
        """Works not yet settled."""

    @property
    def failing(self) -> str:
        """Why writing fails, or ''."""

    @property
    def sync_seconds(self) -> float:
        """How long the disk took for the latest commit."""

    @property
    def stuck_seconds(self) -> float:
        """How long the writer has been at one commit."""

    def uptime(self) -> float:
        """The journal's own time."""

    async def read(self, function: Callable[..., Any], *values: Any) -> Any:
        """Run `function(connection, *values)` on a reading connection."""


class Desk:
    """A `Journal` over a store. Everything it promises stands in `gateway.ports.Journal`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.submit = store.submit

    @property
    def backlog(self) -> int:
        return self._store.backlog

    @property
    def failing(self) -> str:
        return self._store.failing

    @property
    def sync_seconds(self) -> float:
        return self._store.sync_seconds

    @property
    def stuck_seconds(self) -> float:
        """How long the writer has been at one commit: what the door asks; 0 between commits."""
        return self._store.stuck_seconds

    async def perform(self, chore: Chore) -> None:
        """Return after the commit that holds a chore of the journal's own; cancelled, it may still be done."""
        committed = trio.Event()
        self._store.submit(chore, lambda outcome: committed.set())
        await committed.wait()

    async def recover(self, blamed: Collection[str] = ()) -> AsyncIterator[Recovered]:
        found = Unfinished(blamed)
        await self.perform(found.chore())
        for page in pages(found.deliveries):
            yield Recovered(deliveries=tuple(await self._store.read(reading.deliveries_at, page)))
        for page in pages(found.inbound):
            yield Recovered(inbound=tuple(await self._store.read(reading.inbound_at, page)))

    async def wall_before(self, seconds: float) -> float:
        """The earliest that the wall clock said within so many seconds of uptime; 0 when the journal is younger."""
        wall: float = await self._store.read(wall_before, self._store.uptime() - seconds)
        return wall

    async def inbound_before(
        self, state: InboundState, received_before: float, *, limit: int, after_seq: int = 0
    ) -> Sequence[InboundRow]:
        """List messages in one open state that came before a moment."""
        rows: Sequence[InboundRow] = await self._store.read(
            reading.inbound_before, state, received_before, limit, after_seq
        )
        return rows

    async def deliveries_before(
        self, state: DeliveryState, received_before: float, *, limit: int, after_seq: int = 0
    ) -> Sequence[DeliveryRow]:
        """List deliveries in one open state whose messages came before a moment."""
        rows: Sequence[DeliveryRow] = await self._store.read(
            reading.deliveries_before, state, received_before, limit, after_seq
        )
        return rows

    async def message(self, envelope_id: str) -> InboundRow | None:
        row: InboundRow | None = await self._store.read(reading.message, envelope_id)
        return row

    async def delivery(self, delivery_id: str) -> DeliveryRow | None:
        row: DeliveryRow | None = await self._store.read(reading.delivery, delivery_id)
        return row

    async def deliveries_of(self, envelope_id: str) -> Sequence[DeliveryRow]:
        rows: Sequence[DeliveryRow] = await self._store.read(reading.deliveries_of, envelope_id)
        return rows

    async def inbound_in(
        self, state: InboundState, *, limit: int, after_seq: int = 0, latest: bool = False
    ) -> Sequence[InboundRow]:
        rows: Sequence[InboundRow] = await self._store.read(
            partial(reading.inbound_in, latest=latest), state, limit, after_seq
        )
        return rows

    async def deliveries_in(
        self, state: DeliveryState, *, limit: int, after_seq: int = 0, channel: str = "", latest: bool = False
    ) -> Sequence[DeliveryRow]:
        rows: Sequence[DeliveryRow] = await self._store.read(
            partial(reading.deliveries_in, latest=latest), state, limit, after_seq, channel
        )
        return rows

    async def deliveries_to(self, destination: bytes, *, after_seq: int, limit: int) -> Sequence[DeliveryRow]:
        rows: Sequence[DeliveryRow] = await self._store.read(reading.deliveries_to, destination, after_seq, limit)
        return rows

    async def turns(self, lane: bytes, *, limit: int) -> Sequence[tuple[InboundRow, Sequence[DeliveryRow]]]:
        exchanges: Sequence[reading.Exchange] = await self._store.read(reading.turns, lane, limit)
        return exchanges

    async def cursor(self, channel: str, name: str) -> bytes:
        value: bytes = await self._store.read(reading.cursor, channel, name)
        return value

    async def digests(self, *, after: bytes, limit: int) -> Sequence[bytes]:
        page: Sequence[bytes] = await self._store.read(reading.digests, after, limit)
        return page

    async def tally(self) -> Mapping[str, int]:
        counters: Mapping[str, int] = await self._store.read(reading.tally)
        return counters
