"""After a doubt what was missed is read from the rooms; what may have arrived is looked for before it is sent again."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from gateway.channels.matrix_catchup import CURSOR, CatchUp
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred, Delivered, Unknown
from gateway.notices import EnvelopeRefused
from gateway.ports import Accepted, Arrived, Cursor
from gateway.testing.channels import MOMENT, FakeInlet, delivery
from protocols.errors import NothingSent, UnknownAfterSend
from protocols.http1.messages import Response
from tests.channels.matrix_words import ANNA, BOT, ROOM, said, transaction
from tests.channels.test_matrix_in import Stand

REPLY = Message(channel="it", content="hi", conversation=Conversation(ROOM))


async def doubtful() -> Stand:
    """Return a stand that has heard $1 and lost an answer since."""
    stand = Stand()
    await stand.hears(said("$1", "one"))
    stand.homeserver.will = [UnknownAfterSend("killed")]
    assert isinstance(await stand.channel.deliver(delivery(REPLY)), Unknown)
    return stand


def said_now(id: str, text: str, **fields: Any) -> dict[str, Any]:
    return said(id, text) | {"origin_server_ts": int(MOMENT * 1000)} | fields


async def test_the_first_transaction_after_a_doubt_brings_what_was_missed_before_it() -> None:
    stand = await doubtful()
    old = said_now("$0", "long ago", origin_server_ts=1)
    ours = said_now("$x", "an answer", sender=BOT)
    stand.homeserver.history[ROOM] = [old, *(said_now(f"${n}", str(n)) for n in (1, 2, 3)), ours]
    heard = await stand.hears(said_now("$3", "3"), said_now("$4", "4"))
    assert [message.id for message in heard] == ["$1", "$2", "$3", "$4"], "the journal knows $1 already"


async def test_what_the_homeserver_files_for_later_is_heard_before_what_followed_it() -> None:
    stand = await doubtful()
    stand.homeserver.history = {ROOM: [said_now("$1", "one")], "!quiet:example.org": []}
    await stand.hears(said_now("$2", "2"))
    stand.homeserver.history[ROOM] += [said_now(f"${n}", str(n)) for n in (2, 3, 4)]
    asked = len(stand.homeserver.asked("/messages"))
    heard = await stand.hears(said_now("$4", "4"))
    assert [message.id for message in heard] == ["$3", "$4"], "and nothing of what was heard"
    assert len(stand.homeserver.asked("/messages")) == asked + 1, "only the room of what is new"
    await stand.hears(said_now("$4", "4"), said_now("$x", "an answer", sender=BOT))
    assert len(stand.homeserver.asked("/messages")) == asked + 1, "nothing is new"


async def test_half_a_minute_after_a_doubt_all_rooms_are_read_once_more(autojump_clock: Any) -> None:
    stand = await doubtful()
    stand.homeserver.history = {ROOM: [], "!quiet:example.org": []}
    await stand.hears(said_now("$2", "2"))
    await trio.sleep(31)
    stand.homeserver.history["!quiet:example.org"].append(said_now("$3", "3") | {"room_id": "!quiet:example.org"})
    heard = await stand.hears(said_now("$4", "4"))
    assert [message.id for message in heard] == ["$3", "$4"]
    asked = len(stand.homeserver.asked("/messages"))
    await trio.sleep(31)
    await stand.hears(said_now("$5", "5"))
    assert len(stand.homeserver.asked("/messages")) == asked, "its order is relied on again"


async def test_a_clock_that_was_ahead_for_a_while_hides_nothing_that_is_said_after_it_was_set_right(
    autojump_clock: Any,
) -> None:
    asked: list[float] = []

    class Rooms:
        async def rooms(self) -> list[str]:
            return [ROOM]

        async def since(self, room: str, seconds: float) -> list[dict[str, Any]]:
            asked.append(seconds)
            return []

    catch_up = CatchUp("it", Rooms(), print)  # type: ignore[arg-type]
    catch_up.restore("")
    catch_up.heard(MOMENT + 86_400)
    await catch_up.missed(MOMENT)
    assert catch_up.cursor(MOMENT) == Cursor(CURSOR, f"{MOMENT:.0f}")
    catch_up.heard(MOMENT)
    catch_up.doubt()
    await catch_up.missed(MOMENT + 7200)
    assert asked == [60.0, 7260.0]
    assert catch_up.cursor(MOMENT + 1) is None, "it is kept already"


async def test_a_doubt_stands_until_what_was_read_back_is_committed() -> None:
    stand = await doubtful()
    stand.homeserver.history[ROOM] = [said_now("$2", "2")]
    for _ in range(2):
        came = await stand.receives(transaction("9", said_now("$3", "3")))
        assert isinstance(came, Arrived) and [message.id for message in came.messages] == ["$2", "$3"]
    came.answer([Accepted("a"), Accepted("b")])
    (message,) = await stand.hears(said_now("$4", "4"))
    assert message.id == "$4"


async def test_what_was_read_back_and_not_committed_is_read_anew() -> None:
    stand = await doubtful()
    stand.homeserver.history[ROOM] = [said_now("$2", "2")]
    await stand.receives(transaction("9", said_now("$3", "3")))  # killed meanwhile, it hears no answer
    stand.homeserver.history[ROOM] += [said_now("$3", "3"), said_now("$4", "4")]
    heard = await stand.hears(said_now("$5", "5"))
    assert [message.id for message in heard] == ["$2", "$3", "$4", "$5"]


async def test_what_was_read_back_before_the_homeserver_was_away_is_read_anew() -> None:
    stand = await doubtful()
    stand.homeserver.history = {ROOM: [said_now("$2", "2")], "!broken:example.org": []}
    stand.homeserver.unreadable = {"!broken:example.org"}
    assert isinstance(await stand.receives(transaction("9", said_now("$3", "3"))), Response)
    stand.homeserver.will = [NothingSent("killed")]
    assert isinstance(await stand.receives(transaction("9", said_now("$3", "3"))), Response)
    stand.homeserver.unreadable = set()
    stand.homeserver.history[ROOM] += [said_now("$3", "3"), said_now("$4", "4")]
    heard = await stand.hears(said_now("$5", "5"))
    assert [message.id for message in heard] == ["$2", "$3", "$4", "$5"]


async def test_while_rooms_cannot_be_read_back_the_homeserver_is_asked_to_come_again() -> None:
    stand = await doubtful()
    stand.homeserver.will = [NothingSent("refused")]
    came = await stand.receives(transaction("9", said_now("$3", "3")))
    assert isinstance(came, Response) and came.status == 503


async def test_what_was_missed_is_taken_when_the_homeserver_is_back_and_says_nothing(autojump_clock: Any) -> None:
    stand = await doubtful()
    stand.homeserver.history[ROOM] = [said_now("$2", "2")]
    inlet = FakeInlet()
    inlet.cursors["heard"] = str(MOMENT)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, inlet))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [message.id for message in inlet.messages] == ["$2"]


async def test_what_was_missed_waits_until_it_is_known_whether_its_room_is_direct(autojump_clock: Any) -> None:
    stand = await doubtful()
    stand.homeserver.history = {"!new:example.org": [said_now("$2", "2") | {"room_id": "!new:example.org"}]}
    stand.homeserver.members["!new:example.org"] = {ANNA: "Anna", BOT: "oclaw"}
    stand.homeserver.slow = {"joined_members"}
    inlet = FakeInlet()
    inlet.cursors["heard"] = str(MOMENT)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, inlet))
        await trio.sleep(600)
        assert inlet.messages == [], "as of a group, where nobody mentioned us, it would go unanswered"
        stand.homeserver.slow = set()
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert [message.conversation.kind for message in inlet.messages] == ["direct"]


async def test_a_reply_that_may_have_arrived_is_looked_for_before_it_is_sent_again() -> None:
    stand = Stand()
    first = await stand.channel.deliver(delivery(REPLY))
    assert isinstance(first, Delivered)
    stand.homeserver.events.clear()  # a homeserver that was killed forgets transaction ids, and keeps what was said
    again = await stand.channel.deliver(replace(delivery(REPLY, attempt=2), repeated=True))
    assert again == first
    assert len(stand.homeserver.asked("/send/")) == 1


async def test_nothing_is_sent_again_while_it_cannot_be_looked_for() -> None:
    stand = Stand()
    stand.homeserver.will = [(500, {"errcode": "M_UNKNOWN"})]
    receipt = await stand.channel.deliver(replace(delivery(REPLY, attempt=2), repeated=True))
    assert isinstance(receipt, Deferred) and stand.homeserver.asked("/send/") == []


@pytest.mark.parametrize(
    ("answer", "seconds", "offline"),
    [
        ((429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 7000}), 7.0, False),
        ((401, {"errcode": "M_UNKNOWN_TOKEN"}), 300.0, True),
    ],
    ids=["a rate limit", "a token that it does not take"],
)
async def test_who_may_not_look_now_waits_as_who_may_not_send(answer: Any, seconds: float, offline: bool) -> None:
    stand = Stand()
    stand.homeserver.will = [answer]
    receipt = await stand.channel.deliver(replace(delivery(REPLY, attempt=2), repeated=True))
    assert isinstance(receipt, Deferred)
    assert (receipt.after_seconds, receipt.offline) == (seconds, offline)


async def test_a_room_that_the_homeserver_cannot_read_costs_its_own_messages_and_nobody_elses() -> None:
    stand = await doubtful()
    stand.homeserver.history = {"!broken:example.org": [], ROOM: [said_now("$2", "2")]}
    stand.homeserver.unreadable = {"!broken:example.org"}
    request = transaction("9", said_now("$3", "3"))
    for _ in range(2):
        came = await stand.receives(request)
        assert isinstance(came, Response) and came.status == 503
    came = await stand.receives(request)
    assert isinstance(came, Arrived) and [message.id for message in came.messages] == ["$2", "$3"]
    asked = [sent.url for sent in stand.homeserver.sent if "/messages" in sent.url]
    assert len(asked) == 4, "what one attempt has read, the next one does not ask for again"


async def test_a_room_that_is_broken_for_good_makes_everybody_wait_once() -> None:
    stand = await doubtful()
    stand.homeserver.history = {"!broken:example.org": [], ROOM: []}
    stand.homeserver.unreadable = {"!broken:example.org"}
    for _ in range(2):
        assert isinstance(await stand.receives(transaction("9", said_now("$2", "2"))), Response)
    await stand.hears(said_now("$2", "2"))
    for number in range(3, 6):
        stand.homeserver.will = [(500, {"errcode": "M_UNKNOWN"})]
        assert isinstance(await stand.channel.deliver(delivery(REPLY)), Deferred)
        assert stand.channel._catch_up.needed
        (message,) = await stand.hears(said_now(f"${number}", "x"))
        assert message.id == f"${number}"


async def test_a_room_that_is_broken_for_good_is_told_of_once_until_it_was_read_again() -> None:
    def told() -> list[str]:
        return [each.detail for each in stand.notices if isinstance(each, EnvelopeRefused) and broken in each.detail]

    stand, broken = await doubtful(), "!broken:example.org"
    stand.homeserver.history = {broken: [], ROOM: []}
    stand.homeserver.unreadable = {broken}
    stand.homeserver.members[broken] = {ANNA: "Anna", BOT: "oclaw"}
    for _ in range(2):
        await stand.receives(transaction("9", said_now("$2", "2")))
    for number in range(10):
        await stand.hears(said_now(f"${number + 2}", "x", room_id=broken))
    assert len(told()) == 1
    stand.homeserver.unreadable = set()
    await stand.hears(said_now("$20", "x", room_id=broken))
    stand.homeserver.unreadable = {broken}
    for number in range(21, 26):
        await stand.hears(said_now(f"${number}", "x", room_id=broken))
    assert len(told()) == 2


async def test_a_clock_that_is_set_back_hides_nothing_that_is_said_then(autojump_clock: Any) -> None:
    stand = await doubtful()
    stand.now = MOMENT - 3600
    await trio.sleep(100)
    before, missed = (said_now(f"${at}", "x", origin_server_ts=int((stand.now + at) * 1000)) for at in (-200, -90))
    stand.homeserver.history[ROOM] = [before, missed]
    heard = await stand.hears(said_now("$2", "2"))
    assert [message.id for message in heard] == ["$-90", "$2"], "by the clock that nobody sets, as far back as needed"


async def test_a_moment_of_an_earlier_life_that_lies_in_the_future_hides_nothing(autojump_clock: Any) -> None:
    stand, inlet = Stand(), FakeInlet()
    inlet.cursors["heard"] = str(MOMENT + 3600)
    stand.homeserver.history[ROOM] = [said_now("$1", "while nobody was there")]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(stand.channel.run, inlet))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [message.id for message in inlet.messages] == ["$1"]


@pytest.mark.parametrize("ahead", [-86_400, 7200], ids=["behind", "ahead"])
async def test_what_was_missed_is_counted_by_the_homeservers_clock_which_stamps_it(
    ahead: float, autojump_clock: Any
) -> None:
    stand = await doubtful()
    stand.homeserver.now = MOMENT - ahead
    await trio.sleep(100)
    stand.homeserver.now += 100
    before, missed = (
        said_now(f"${at}", "x", origin_server_ts=int((stand.homeserver.now + at) * 1000)) for at in (-200, -90)
    )
    stand.homeserver.history[ROOM] = [before, missed]
    heard = await stand.hears(said_now("$2", "2"))
    assert [message.id for message in heard] == ["$-90", "$2"]


async def test_the_last_moment_is_kept_also_after_the_clock_was_set_back() -> None:
    stand, kept = Stand(), list[str]()
    for now in (MOMENT, MOMENT + 1, MOMENT - 3600, MOMENT - 3599, MOMENT - 3594):
        stand.now = now
        came = await stand.receives(transaction(str(now), said(f"${now}", "x")))
        assert isinstance(came, Arrived)
        came.answer([Accepted("id")])
        kept += [came.cursor.value] if came.cursor is not None else []
    assert kept == [f"{now:.0f}" for now in (MOMENT, MOMENT - 3600, MOMENT - 3594)]


@pytest.mark.parametrize("said_since", [200, 201])
async def test_what_is_too_much_to_be_read_back_comes_in_the_homeservers_own_order(said_since: int) -> None:
    stand = await doubtful()
    latest_first = [said_now(f"${number}", "x") for number in range(1000 + said_since, 1000, -1)]
    latest_first += [said_now(f"${number}", "x", origin_server_ts=1) for number in range(1000, 900, -1)]
    pages = [(200, {"chunk": latest_first[at : at + 50], "end": str(at)}) for at in range(0, 250, 50)]
    stand.homeserver.will = [(200, {"joined_rooms": [ROOM]}), *pages]
    heard = await stand.hears(said_now("$2", "2"), said_now("$3", "3"))
    assert stand.homeserver.will == []
    assert len(heard) == (202 if said_since == 200 else 2), "and what is later comes later"
    assert [message.id for message in heard][-2:] == ["$2", "$3"]


async def test_rooms_that_could_not_be_asked_about_once_are_asked_about_as_patiently_the_next_time(
    autojump_clock: Any,
) -> None:
    stand, kinds = Stand(), list[str]()
    await stand.hears(said("$1", "one"))
    for number in range(4):
        room = f"!r{number}:example.org"
        stand.homeserver.members[room] = {BOT: "oclaw"}
        stand.homeserver.history = {room: [said_now(f"$r{number}", "x") | {"room_id": room}]}
        stand.channel._catch_up.doubt()
        stand.homeserver.will = [(200, {"joined_rooms": [room]}), (200, {"chunk": stand.homeserver.history[room]})]
        stand.homeserver.will += [NothingSent("busy")]
        missed = await stand.channel._intake.missed()
        if isinstance(missed, Response):
            missed = await stand.channel._intake.missed()
        assert isinstance(missed, Arrived)
        missed.answer([Accepted("id")] * len(missed.messages))
        kinds += [message.conversation.kind for message in missed.messages]
    assert kinds == ["direct"] * 4


async def test_many_rooms_are_read_back_a_few_at_a_time(autojump_clock: Any) -> None:
    stand = await doubtful()
    rooms = {f"!{number}:example.org": [said_now(f"$r{number}", "x")] for number in range(100)}
    stand.homeserver.history = {room: [event | {"room_id": room} for event in said] for room, said in rooms.items()}
    stand.homeserver.seconds = 1.0  # an answer; one after another would take longer than the homeserver waits
    came = await stand.receives(transaction("9", said_now("$3", "3")))
    for _ in range(3):
        if isinstance(came, Arrived):
            break
        came = await stand.receives(transaction("9", said_now("$3", "3")))
    assert isinstance(came, Arrived) and len(came.messages) == 101


@pytest.mark.parametrize(
    ("answer", "read"),
    [((429, {"errcode": "M_LIMIT_EXCEEDED"}), 0), ((502, {}), 1), ((500, {"errcode": "M_UNKNOWN"}), 1)],
    ids=["a rate limit", "a proxy", "a homeserver that may be just going"],
)
async def test_a_rate_limit_is_no_reason_to_read_the_rooms_back(answer: Any, read: int) -> None:
    stand = Stand()
    await stand.hears(said("$1", "one"))
    stand.homeserver.will = [answer]
    assert isinstance(await stand.channel.deliver(delivery(REPLY)), Deferred)
    await stand.hears(said_now("$2", "2"))
    assert len(stand.homeserver.asked("joined_rooms")) == read


async def test_what_comes_before_the_last_moment_is_known_waits_for_it(autojump_clock: Any) -> None:
    class Slow(FakeInlet):
        async def cursor(self, name: str) -> str:
            await trio.sleep(1)
            return await super().cursor(name)

    stand, inlet = Stand(), Slow()
    inlet.cursors["heard"] = str(MOMENT)
    stand.homeserver.history[ROOM] = [said_now("$1", "while nobody was there")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(stand.channel.run, inlet))
        await trio.testing.wait_all_tasks_blocked()
        came = await stand.receives(transaction("1", said_now("$2", "now")))
        assert isinstance(came, Arrived) and [message.id for message in came.messages] == ["$1", "$2"]
        nursery.cancel_scope.cancel()
