"""Words for tests of journals: messages, replies and works with as few particulars as matter."""

from __future__ import annotations

from collections.abc import Collection

import trio

from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.ports import Journal
from gateway.records import DeliveryRecord, DeliveryRow, HandOver, InboundRecord, InboundRow, Outcome, Settle, Work

# Far beyond what a commit takes on a disk that does not refuse.
PATIENCE_SECONDS = 120.0


def a_message(name: str, *, lane: str = "lane", key: str = "", at: float = 100.0, known: float = 1e6) -> InboundRecord:
    """Make a message of that name; `key` is its dedupe key, `known` for so many seconds."""
    return InboundRecord(
        id=name,
        channel="memory",
        dedupe=key.encode(),
        dedupe_seconds=known,
        lane=lane.encode(),
        sender=b"sender",
        received_at=at,
        sealed=b"sealed " + name.encode(),
    )


def a_reply(
    name: str, *, to: str = "somebody", channel: str = "memory", state: DeliveryState = DeliveryState.PENDING
) -> DeliveryRecord:
    """Make a delivery named `<envelope id>.<index>`."""
    return DeliveryRecord(
        id=name,
        envelope_id=name.rpartition(".")[0],
        channel=channel,
        destination=to.encode(),
        created_at=100.0,
        expires_at=200.0,
        sealed=b"sealed " + name.encode(),
        state=state,
    )


def done_with(name: str, *replies: DeliveryRecord, note: bytes = b"") -> HandOver:
    """Make the hand-over that ends a message's walk well."""
    return HandOver(id=name, state=InboundState.DONE, at=101.0, deliveries=replies, note=note)


def settled(name: str, state: DeliveryState, *, attempt: int = 1, note: bytes = b"", due_at: float = 0.0) -> Settle:
    """Make the record of one attempt."""
    return Settle(id=name, state=state, at=102.0, attempt=attempt, note=note, due_at=due_at)


async def committed(journal: Journal, *works: Work) -> list[Outcome]:
    """Submit works and return their outcomes after the commits."""
    outcomes: list[Outcome] = []
    over = trio.Event()

    def done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == len(works):
            over.set()

    for work in works:
        journal.submit(work, done)
    with trio.fail_after(PATIENCE_SECONDS):
        await over.wait()
    return outcomes


async def recovered(journal: Journal, blamed: Collection[str] = ()) -> tuple[list[InboundRow], list[DeliveryRow]]:
    """Read a whole recovery."""
    inbound: list[InboundRow] = []
    deliveries: list[DeliveryRow] = []
    async for page in journal.recover(blamed):
        assert not (page.deliveries and inbound), "deliveries come before messages"
        inbound.extend(page.inbound)
        deliveries.extend(page.deliveries)
    return inbound, deliveries
