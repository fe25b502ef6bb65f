"""What every journal must give back: what came back in by a person's hand or a restart, and what is listed and counted.

The second half of `journal_contract.py`, whose `PROMISES` holds both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from msgspec.structs import replace

from gateway.message.lifecycle import DeliveryState, InboundState
from gateway.ports import Journal
from gateway.records import Accept, HandOver, Impossible, Moved, Revive
from gateway.testing.journal_words import (
    a_message,
    a_reply,
    committed,
    done_with,
    recovered,
    settled,
)

Fresh = Callable[[], AbstractAsyncContextManager[Journal]]
Promise = Callable[[Fresh], Awaitable[None]]


async def brings_a_message_back_at_the_tail(fresh: Fresh) -> None:
    async with fresh() as journal:
        names = ("a", "b")
        await committed(journal, Accept(tuple(map(a_message, names))))
        held = HandOver(id="a", state=InboundState.DEAD, at=1.0, deliveries=(a_reply("a.0"),), note=b"one")
        revived = Revive(id="a", to=InboundState.ACCEPTED, at=2.0, note=b"two")
        assert await committed(journal, held, revived) == [Moved(), Moved()]
        rows = await journal.inbound_in(InboundState.ACCEPTED, limit=9)
        assert [(row.id, row.attempt) for row in rows] == [("b", 1), ("a", 1)]
        assert rows[1].note == b"two"
        assert [row.id for row in await journal.deliveries_of("a")] == ["a.0"]
        (impossible,) = await committed(journal, revived)
        assert isinstance(impossible, Impossible)


async def brings_a_delivery_back_at_the_tail(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept((a_message("a"),)), done_with("a", a_reply("a.0"), a_reply("a.1")))
        await committed(journal, settled("a.0", DeliveryState.DEAD, attempt=7, note=b"gone"))
        retried = Revive(id="a.0", to=DeliveryState.PENDING, at=2.0, note=b"again", expires_at=900.0)
        await committed(journal, retried)
        rows = await journal.deliveries_in(DeliveryState.PENDING, limit=9)
        assert [row.id for row in rows] == ["a.1", "a.0"]
        assert (rows[1].attempt, rows[1].expires_at, rows[1].notes) == (0, 900.0, (b"gone", b"again"))
        dropped = Revive(id="a.0", to=DeliveryState.DROPPED, at=3.0)
        _, moved = await committed(journal, settled("a.0", DeliveryState.DEAD), dropped)
        assert moved == Moved()


async def gives_a_reply_that_shares_its_messages_record_wherever_replies_are_read(fresh: Fresh) -> None:
    async with fresh() as journal:
        ends = {"a": InboundState.DONE, "h": InboundState.HELD}
        for name, state in ends.items():
            shared = replace(a_reply(f"{name}.0"), sealed=b"")
            end = HandOver(id=name, state=state, at=1.0, note=b"told", deliveries=(shared,))
            await committed(journal, Accept((a_message(name, lane=name),), end=end))
        waiting = await journal.deliveries_to(b"somebody", after_seq=0, limit=9)
        assert [(row.id, row.sealed) for row in waiting] == [("a.0", b"sealed a"), ("h.0", b"sealed h")]
        ((row, replies),) = await journal.turns(b"a", limit=9)
        assert (row.note, [reply.sealed for reply in replies]) == (b"told", [b"sealed a"])
        released = Revive(id="h", to=InboundState.ACCEPTED, at=2.0)
        retried = Revive(id="a.0", to=DeliveryState.PENDING, at=2.0)
        await committed(journal, released, done_with("h", a_reply("h.1")), settled("a.0", DeliveryState.DEAD), retried)
        assert [row.sealed for row in await journal.deliveries_of("h")] == [b"sealed h", b"sealed h.1"]
    async with fresh() as journal:
        _, unfinished = await recovered(journal)
        assert {row.id: row.sealed for row in unfinished} == {
            "h.0": b"sealed h",
            "h.1": b"sealed h.1",
            "a.0": b"sealed a",
        }


async def recovers_what_is_unfinished_and_counts_who_is_blamed(fresh: Fresh) -> None:
    async with fresh() as journal:
        lanes = {"a": "one", "b": "one", "c": "two", "delayed": "three", "held": "four", "done": "one"}
        await committed(journal, Accept(tuple(a_message(name, lane=lane) for name, lane in lanes.items())))
        states = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.STREAMING, DeliveryState.DELIVERED)
        replies = [a_reply(f"done.{number}", state=state) for number, state in enumerate(states)]
        await committed(
            journal,
            HandOver(id="delayed", state=InboundState.DELAYED, at=1.0, due_at=77.0),
            HandOver(id="held", state=InboundState.HELD, at=1.0),
            done_with("done", *replies),
        )
    async with fresh() as journal:
        inbound, deliveries = await recovered(journal, ("b", "done", "delayed", "nobody"))
        assert [(row.id, row.attempt) for row in inbound] == [("a", 1), ("b", 2), ("c", 1), ("delayed", 1)]
        assert inbound[3].due_at == 77.0
        assert [(row.id, row.attempt) for row in deliveries] == [("done.0", 0), ("done.1", 1), ("done.2", 1)]


async def recovers_page_by_page_without_what_came_later(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept(tuple(a_message(f"m{n}", lane=f"l{n}") for n in range(1200))))
    async with fresh() as journal:
        seen: list[str] = []
        async for page in journal.recover():
            seen.extend(row.id for row in page.inbound)
            await committed(journal, Accept((a_message(f"new{len(seen)}"),)), done_with(f"m{1199 - len(seen) % 7}"))
        expected = [f"m{n}" for n in range(1200)]
        assert [name for name in expected if name in seen] == seen
        assert not any(name.startswith("new") for name in seen)


async def lists_by_state_channel_and_destination_in_pages(fresh: Fresh) -> None:
    async with fresh() as journal:
        replies = [a_reply(f"a.{n}", to="xy"[n % 2], channel="pq"[n % 2]) for n in range(6)]
        await committed(journal, Accept((a_message("a"),)), done_with("a", *replies))
        await committed(journal, settled("a.0", DeliveryState.DELIVERED))
        pending = await journal.deliveries_in(DeliveryState.PENDING, limit=2)
        assert [row.id for row in pending] == ["a.1", "a.2"]
        rest = await journal.deliveries_in(DeliveryState.PENDING, limit=9, after_seq=pending[-1].seq)
        assert [row.id for row in rest] == ["a.3", "a.4", "a.5"]
        assert [row.id for row in await journal.deliveries_in(DeliveryState.PENDING, limit=9, channel="p")] == [
            "a.2",
            "a.4",
        ]
        first = await journal.deliveries_to(b"x", after_seq=0, limit=1)
        assert [row.id for row in first] == ["a.2"], "what is delivered is nothing to send"
        assert [row.id for row in await journal.deliveries_to(b"x", after_seq=first[0].seq, limit=9)] == ["a.4"]


async def remembers_the_last_turns_of_a_conversation(fresh: Fresh) -> None:
    async with fresh() as journal:
        for name, lane in (("a", "one"), ("b", "one"), ("c", "two"), ("d", "one"), ("e", "one")):
            await committed(journal, Accept((a_message(name, lane=lane),)))
        for name in ("a", "c", "d"):
            await committed(journal, done_with(name, a_reply(f"{name}.0"), a_reply(f"{name}.1")))
        await committed(journal, done_with("b"))
        turns = await journal.turns(b"one", limit=2)
        assert [(row.id, [reply.id for reply in replies]) for row, replies in turns] == [
            ("b", []),
            ("d", ["d.0", "d.1"]),
        ]
        assert await journal.turns(b"nobody", limit=5) == []


async def counts_rows_by_state(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept(tuple(map(a_message, "abc"))), done_with("a", a_reply("a.0")))
        await committed(journal, settled("a.0", DeliveryState.DELIVERED), done_with("nobody"))
        tally = await journal.tally()
        assert {name: rows for name, rows in tally.items() if rows} == {
            "inbound.accepted": 2,
            "inbound.done": 1,
            "delivery.delivered": 1,
        }
        assert len(tally) == len(InboundState) + len(DeliveryState)


READING: tuple[Promise, ...] = (
    brings_a_message_back_at_the_tail,
    brings_a_delivery_back_at_the_tail,
    gives_a_reply_that_shares_its_messages_record_wherever_replies_are_read,
    recovers_what_is_unfinished_and_counts_who_is_blamed,
    recovers_page_by_page_without_what_came_later,
    lists_by_state_channel_and_destination_in_pages,
    remembers_the_last_turns_of_a_conversation,
    counts_rows_by_state,
)
