"""What every journal must do, as tests that any journal can be put through.

A promise takes `fresh`, which opens the journal over one and the same store, again and again,
and raises AssertionError when the journal breaks it. Run them all:

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    async def test_contract(promise, fresh): await promise(fresh)
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from msgspec.structs import replace

from gateway.message.lifecycle import DELIVERY, DeliveryState, InboundState
from gateway.records import Accept, Failed, HandOver, Impossible, Known, Moved, Outcome, Settle, Stored
from gateway.testing.journal_reading_contract import READING, Fresh, Promise
from gateway.testing.journal_words import (
    PATIENCE_SECONDS,
    a_message,
    a_reply,
    committed,
    done_with,
    settled,
)


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


class _Mute(Exception):
    def __str__(self) -> str:
        raise LookupError("no words")


async def keeps_calling_back_when_a_callback_raises(fresh: Fresh) -> None:
    over, errors = trio.Event(), [ZeroDivisionError(), _Mute(), SystemExit(3)]

    def broken(outcome: Outcome) -> None:
        raise errors.pop()

    async with fresh() as journal:
        for name in ("a", "b", "c"):
            journal.submit(Accept((a_message(name),)), broken)
        journal.submit(Accept((a_message("d"),)), lambda _: over.set())
        await over.wait()
        assert await journal.message("a") is not None
    assert errors == []


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


async def gives_a_reply_without_a_record_of_its_own_with_its_messages(fresh: Fresh) -> None:
    async with fresh() as journal:
        shared = replace(a_reply("a.0"), sealed=b"")
        await committed(journal, Accept((a_message("a"),), end=done_with("a", shared)))
        reply = await journal.delivery("a.0")
        assert reply is not None
        assert (reply.state, reply.sealed) == (DeliveryState.PENDING, b"sealed a")
        (waiting,) = await journal.deliveries_in(DeliveryState.PENDING, limit=9)
        assert waiting == reply
        await committed(journal, Settle(id="a.0", state=DeliveryState.DELIVERED, at=1.0, attempt=1, sealed=b"changed"))
        reply = await journal.delivery("a.0")
        assert reply is not None
        assert reply.sealed == b"changed"
        without = done_with("b", replace(a_reply("b.0"), sealed=b""))
        _, refused = await committed(journal, Accept((a_message("b"),)), without)
        assert isinstance(refused, Impossible), "there is no record it could stand in"


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
    gives_a_reply_without_a_record_of_its_own_with_its_messages,
    stores_nothing_of_a_walked_message_whose_end_is_impossible,
    stores_nothing_of_an_impossible_hand_over,
    undoes_a_work_that_cannot_be_stored_and_no_other,
    records_attempts_with_their_notes,
    replaces_a_reply_that_was_streamed,
    refuses_every_transition_that_is_not_in_the_table,
    *READING,
)
