"""What every journal must do, as tests that any journal can be put through.

A promise takes `fresh`, which opens the journal over one and the same store, again and again,
and raises AssertionError when the journal breaks it. Run them all:

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    async def test_contract(promise, fresh): await promise(fresh)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import trio

from gateway.message.lifecycle import DELIVERY, DeliveryState, InboundState
from gateway.ports import Journal
from gateway.records import Accept, Failed, HandOver, Impossible, Known, Moved, Outcome, Revive, Settle, Stored
from gateway.testing.journal_words import (
    PATIENCE_SECONDS,
    a_message,
    a_reply,
    committed,
    done_with,
    recovered,
    settled,
)

Fresh = Callable[[], AbstractAsyncContextManager[Journal]]
Promise = Callable[[Fresh], Awaitable[None]]


async def stores_messages_in_order_and_reads_them_back(fresh: Fresh) -> None:
    async with fresh() as journal:
        outcomes = await committed(journal, Accept((a_message("a"), a_message("b"))), Accept((a_message("c"),)))
        assert [type(one) for outcome in outcomes if isinstance(outcome, tuple) for one in outcome] == [Stored] * 3
        rows = await journal.inbound_in(InboundState.ACCEPTED, limit=10)
        assert [row.id for row in rows] == ["a", "b", "c"]
        assert [row.seq for row in rows] == sorted(row.seq for row in rows)
        row = await journal.message("b")
        assert row is not None
        assert (row.sealed, row.lane, row.attempt, row.state) == (b"sealed b", b"lane", 1, InboundState.ACCEPTED)
        assert await journal.message("nobody") is None


async def calls_back_in_the_order_of_submission(fresh: Fresh) -> None:
    called: list[int] = []
    over = trio.Event()

    def note(number: int) -> Callable[[Outcome], None]:
        return lambda _: called.append(number)

    async with fresh() as journal:
        for number in range(300):
            journal.submit(Accept((a_message(f"m{number}"),)), note(number))
        journal.submit(Accept(()), lambda _: over.set())
        await over.wait()
    assert called == list(range(300))


async def keeps_calling_back_when_a_callback_raises(fresh: Fresh) -> None:
    over = trio.Event()

    def broken(outcome: Outcome) -> None:
        raise ZeroDivisionError

    async with fresh() as journal:
        journal.submit(Accept((a_message("a"),)), broken)
        journal.submit(Accept((a_message("b"),)), lambda _: over.set())
        await over.wait()
        assert await journal.message("a") is not None


async def commits_before_it_calls_back(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept((a_message("a"),)))
        assert await journal.message("a") is not None
        with trio.fail_after(30):
            while journal.backlog:  # noqa: ASYNC110 (the journal may be at a work of its own)
                await trio.sleep(0.005)
    async with fresh() as journal:
        assert await journal.message("a") is not None


async def commits_what_nobody_waits_for(fresh: Fresh) -> None:
    async with fresh() as journal:
        journal.submit(Accept((a_message("a"),)))
        with trio.fail_after(PATIENCE_SECONDS):
            while await journal.message("a") is None:  # noqa: ASYNC110 (nobody can tell us: that is the point)
                await trio.sleep(0.05)


async def commits_what_was_submitted_before_it_closes(fresh: Fresh) -> None:
    called: list[Outcome] = []
    async with fresh() as journal:
        journal.submit(Accept((a_message("a"),)))
        journal.submit(Accept((a_message("b"),)), called.append)
    assert len(called) == 1
    async with fresh() as journal:
        assert [row.id for row in await journal.inbound_in(InboundState.ACCEPTED, limit=9)] == ["a", "b"]


async def commits_what_was_submitted_when_cancelled(fresh: Fresh) -> None:
    with trio.CancelScope() as scope:
        async with fresh() as journal:
            journal.submit(Accept((a_message("a"),)))
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with fresh() as journal:
        assert await journal.message("a") is not None


async def knows_a_redelivery_also_within_a_group_and_after_a_restart(fresh: Fresh) -> None:
    async with fresh() as journal:
        twins = (a_message("a", key="k"), a_message("b", key="k"), a_message("c", key="other"))
        first, again = await committed(journal, Accept(twins), Accept((a_message("d", key="k"),)))
        assert isinstance(first, tuple)
        assert [type(one) for one in first] == [Stored, Known, Stored]
        assert first[1] == Known("a")
        assert again == (Known("a"),)
    async with fresh() as journal:
        assert await committed(journal, Accept((a_message("e", key="k"),))) == [(Known("a"),)]
        assert (await journal.tally())["inbound.accepted"] == 2


async def forgets_a_key_after_its_horizon_whatever_the_wall_clock_says(fresh: Fresh) -> None:
    year = 365 * 86_400.0
    async with fresh() as journal:
        await committed(journal, Accept((a_message("a", key="k", at=1e9, known=0.0),)))
        (late,) = await committed(journal, Accept((a_message("b", key="k", at=1e9 - year, known=60.0),)))
        (early,) = await committed(journal, Accept((a_message("c", key="k", at=1e9 + year, known=60.0),)))
        assert isinstance(late, tuple)
        assert isinstance(late[0], Stored)
        assert early == (Known("b"),)


async def treats_messages_without_a_key_as_different(fresh: Fresh) -> None:
    async with fresh() as journal:
        (outcome,) = await committed(journal, Accept((a_message("a"), a_message("b"))))
        assert isinstance(outcome, tuple)
        assert [type(one) for one in outcome] == [Stored, Stored]


async def moves_a_cursor_with_its_messages(fresh: Fresh) -> None:
    async with fresh() as journal:
        assert await journal.cursor("memory", "offset") == b""
        await committed(
            journal, Accept((a_message("a"),), ("memory", "offset", b"1")), Accept((), ("memory", "x", b"y"))
        )
        await committed(journal, Accept((), ("memory", "offset", b"2")))
        assert await journal.cursor("memory", "offset") == b"2"
        assert await journal.cursor("memory", "x") == b"y"


async def hands_over_once_and_whole(fresh: Fresh) -> None:
    async with fresh() as journal:
        replies = (a_reply("a.0"), a_reply("a.1", to="else"))
        _, moved, again = await committed(
            journal, Accept((a_message("a"),)), done_with("a", *replies, note=b"story"), done_with("a", a_reply("a.2"))
        )
        assert moved == Moved()
        assert isinstance(again, Impossible)
        assert [row.id for row in await journal.deliveries_of("a")] == ["a.0", "a.1"]
        row, reply = await journal.message("a"), await journal.delivery("a.1")
        assert row is not None
        assert reply is not None
        assert (row.state, row.note, row.changed_at) == (InboundState.DONE, b"story", 101.0)
        assert (reply.state, reply.attempt, reply.envelope_id) == (DeliveryState.PENDING, 0, "a")
        assert (reply.destination, reply.expires_at, reply.notes) == (b"else", 200.0, ())


async def stores_a_walked_message_and_its_end_in_one(fresh: Fresh) -> None:
    async with fresh() as journal:
        whole = Accept((a_message("a", key="k"),), ("memory", "offset", b"1"), done_with("a", a_reply("a.0")))
        again = Accept((a_message("b", key="k"),), end=done_with("b", a_reply("b.0")))
        stored, known = await committed(journal, whole, again)
        assert isinstance(stored, tuple)
        assert isinstance(stored[0], Stored)
        assert known == (Known("a"),)
        row, reply = await journal.message("a"), await journal.delivery("a.0")
        assert row is not None
        assert reply is not None
        assert (row.state, row.sealed, row.note, row.changed_at) == (InboundState.DONE, b"sealed a", b"", 101.0)
        assert (reply.state, reply.envelope_id) == (DeliveryState.PENDING, "a")
        assert await journal.message("b") is None
        assert await journal.delivery("b.0") is None
        assert await journal.cursor("memory", "offset") == b"1"


async def stores_nothing_of_a_walked_message_whose_end_is_impossible(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept((a_message("x"),)), done_with("x", a_reply("x.0")))
        ends = (
            HandOver(id="a", state=InboundState.ACCEPTED, at=1.0),
            done_with("x"),
            done_with("a", a_reply("a.0", state=DeliveryState.DEAD)),
            done_with("a", a_reply("x.0")),
            done_with("a", a_reply("a.0"), a_reply("a.0")),
        )
        works = [Accept((a_message("a", key="k"),), end=end) for end in ends]
        *refused, stored = await committed(journal, *works, Accept((a_message("a", key="k"),), end=done_with("a")))
        assert [type(outcome) for outcome in refused] == [Failed] * len(ends)
        assert isinstance(stored, tuple)
        assert isinstance(stored[0], Stored), "the key was not claimed by what was not stored"
        assert (await journal.tally())["delivery.pending"] == 1


async def stores_nothing_of_an_impossible_hand_over(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept((a_message("a"), a_message("b"))), done_with("a", a_reply("a.0")))
        foreign = HandOver(id="b", state=InboundState.DONE, at=1.0, deliveries=(a_reply("b.0"), a_reply("a.0")))
        unborn = done_with("b", a_reply("b.0", state=DeliveryState.DEAD))
        nowhere = HandOver(id="b", state=InboundState.ACCEPTED, at=1.0)
        for outcome in await committed(journal, foreign, unborn, nowhere, done_with("nobody", a_reply("nobody.0"))):
            assert isinstance(outcome, Impossible)
        assert await journal.deliveries_of("b") == []
        row = await journal.message("b")
        assert row is not None
        assert row.state is InboundState.ACCEPTED


async def undoes_a_work_that_cannot_be_stored_and_no_other(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept((a_message("a"), a_message("b"))), done_with("a", a_reply("a.0")))
        clash = done_with("b", a_reply("b.0"), a_reply("b.0"))
        first, refused, last = await committed(journal, Accept((a_message("c"),)), clash, Accept((a_message("d"),)))
        assert isinstance(refused, Impossible)
        assert isinstance(first, tuple)
        assert isinstance(last, tuple)
        assert [row.id for row in await journal.inbound_in(InboundState.ACCEPTED, limit=9)] == ["b", "c", "d"]
        assert (await journal.tally())["delivery.pending"] == 1


async def records_attempts_with_their_notes(fresh: Fresh) -> None:
    async with fresh() as journal:
        await committed(journal, Accept((a_message("a"),)), done_with("a", a_reply("a.0")))
        await committed(
            journal,
            settled("a.0", DeliveryState.SENDING),
            settled("a.0", DeliveryState.DEFERRED, attempt=1, note=b"\x00first\xff", due_at=150.0),
        )
        row = await journal.delivery("a.0")
        assert row is not None
        assert (row.state, row.attempt, row.due_at) == (DeliveryState.DEFERRED, 1, 150.0)
        await committed(journal, settled("a.0", DeliveryState.DELIVERED, attempt=2, note=b"second"))
        row = await journal.delivery("a.0")
        assert row is not None
        assert (row.state, row.attempt, row.due_at) == (DeliveryState.DELIVERED, 2, 0.0)
        assert row.notes == (b"\x00first\xff", b"second")


async def replaces_a_reply_that_was_streamed(fresh: Fresh) -> None:
    async with fresh() as journal:
        streaming = a_reply("a.0", state=DeliveryState.STREAMING)
        await committed(journal, Accept((a_message("a"),)), done_with("a", streaming))
        await committed(journal, Settle(id="a.0", state=DeliveryState.DELIVERED, at=1.0, attempt=1, sealed=b"whole"))
        row = await journal.delivery("a.0")
        assert row is not None
        assert row.sealed == b"whole"


async def refuses_every_transition_that_is_not_in_the_table(fresh: Fresh) -> None:
    async with fresh() as journal:
        for was in DeliveryState:
            for to in DeliveryState:
                if was in (DeliveryState.DEFERRED, DeliveryState.DEAD, DeliveryState.DROPPED):
                    continue
                name = f"{was}-{to}"
                reply = a_reply(f"{name}.0", state=was)
                _, _, outcome = await committed(
                    journal, Accept((a_message(name),)), done_with(name, reply), settled(reply.id, to)
                )
                row = await journal.delivery(reply.id)
                assert row is not None
                assert isinstance(outcome, Moved) == (to in DELIVERY[was]), name
                assert row.state is (to if to in DELIVERY[was] else was)


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


async def recovers_what_is_unfinished_and_counts_what_was_in_flight(fresh: Fresh) -> None:
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
        inbound, deliveries = await recovered(journal)
        assert [(row.id, row.attempt) for row in inbound] == [("a", 2), ("b", 1), ("c", 2), ("delayed", 1)]
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


PROMISES: tuple[Promise, ...] = (
    stores_messages_in_order_and_reads_them_back,
    calls_back_in_the_order_of_submission,
    keeps_calling_back_when_a_callback_raises,
    commits_before_it_calls_back,
    commits_what_nobody_waits_for,
    commits_what_was_submitted_before_it_closes,
    commits_what_was_submitted_when_cancelled,
    knows_a_redelivery_also_within_a_group_and_after_a_restart,
    forgets_a_key_after_its_horizon_whatever_the_wall_clock_says,
    treats_messages_without_a_key_as_different,
    moves_a_cursor_with_its_messages,
    hands_over_once_and_whole,
    stores_a_walked_message_and_its_end_in_one,
    stores_nothing_of_a_walked_message_whose_end_is_impossible,
    stores_nothing_of_an_impossible_hand_over,
    undoes_a_work_that_cannot_be_stored_and_no_other,
    records_attempts_with_their_notes,
    replaces_a_reply_that_was_streamed,
    refuses_every_transition_that_is_not_in_the_table,
    brings_a_message_back_at_the_tail,
    brings_a_delivery_back_at_the_tail,
    recovers_what_is_unfinished_and_counts_what_was_in_flight,
    recovers_page_by_page_without_what_came_later,
    lists_by_state_channel_and_destination_in_pages,
    remembers_the_last_turns_of_a_conversation,
    counts_rows_by_state,
)
