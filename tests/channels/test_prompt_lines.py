"""A reply is handed to a listener's connection at once where that has room, and in order where it has none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from gateway.channels.grpc import GrpcChannel
from gateway.channels.grpc_events import ChannelEvent, PieceSaid, ReplySaid
from gateway.channels.grpc_settings import Settings
from gateway.channels.line import Line
from gateway.config.secret import Secret
from gateway.message.envelope import Delivery
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Deferred, Delivered, Receipt
from gateway.testing.channels import bench

Nursery = trio.Nursery


class Connection:
    """What a line writes to: `room` frames are taken at once, the others when `makes_room` is called."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, list[str]()
        self._news = trio.Event()

    def at_once(self, event: ChannelEvent) -> bool:
        if not self.room:
            return False
        self.room -= 1
        assert isinstance(event, ReplySaid)
        self.taken.append(event.message.content)
        return True

    async def send(self, event: ChannelEvent) -> None:
        while not self.at_once(event):
            await self._news.wait()

    def makes_room(self, frames: int) -> None:
        self.room += frames
        self._news.set()
        self._news = trio.Event()

    def line(self, *, acks: bool = False, frames: int = 8) -> Line[ChannelEvent]:
        return Line(self.send, frames=frames, acks=acks, at_once=self.at_once)


def delivery(text: str, index: int = 0) -> Delivery:
    message = Message(channel="it", platform="grpc", content=text, conversation=Conversation("c"))
    return Delivery(id=f"e.{index}", envelope_id="e", message=message, created_at=0.0, expires_at=1e12)


@pytest.fixture
def channel() -> GrpcChannel:
    return GrpcChannel("it", Settings(tokens={"p": Secret("env:T", "t0ken")}), bench().kit)


def tries(channel: GrpcChannel, text: str, index: int = 0) -> tuple[bool, list[Receipt]]:
    receipts: list[Receipt] = []
    return channel.deliver_now(delivery(text, index), trio.current_time() + 30.0, receipts.append), receipts


async def test_a_connection_with_room_has_the_reply_before_the_call_returns(channel: GrpcChannel) -> None:
    connection = Connection(room=1)
    channel.join(connection.line(), None)
    begun, [receipt] = tries(channel, "hello")
    assert begun
    assert receipt == Delivered()
    assert connection.taken == ["hello"]


async def test_what_nobody_can_confirm_at_once_is_left_to_deliver(channel: GrpcChannel) -> None:
    assert tries(channel, "nobody listens") == (False, [])
    channel.join(Connection(room=9).line(acks=True), None)
    assert tries(channel, "its client confirms replies itself") == (False, [])


async def test_a_reply_behind_others_is_left_to_deliver(channel: GrpcChannel) -> None:
    line = Connection(room=0).line()
    channel.join(line, None)
    assert tries(channel, "first") == (True, [])
    assert tries(channel, "second", 1) == (False, [])


async def test_a_reply_that_found_no_room_is_delivered_when_there_is_some(
    channel: GrpcChannel, nursery: Nursery
) -> None:
    connection = Connection(room=0)
    line = connection.line()
    channel.join(line, None)
    nursery.start_soon(line.run)
    begun, receipts = tries(channel, "hello")
    assert begun
    assert not receipts
    connection.makes_room(1)
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(receipts[0], Delivered)
    nursery.cancel_scope.cancel()


async def test_a_reply_whose_only_listener_leaves_without_it_waits_for_the_next(channel: GrpcChannel) -> None:
    line = Connection(room=0).line()
    channel.join(line, None)
    begun, receipts = tries(channel, "hello")
    channel.room.leave(line)
    assert begun
    assert isinstance(receipts[0], Deferred)
    again = Connection(room=1)
    channel.join(again.line(), None)
    assert isinstance(tries(channel, "hello")[1][0], Delivered)


async def test_replies_that_wait_are_taken_at_once_by_a_listener_who_joins(channel: GrpcChannel) -> None:
    first, second = Connection(room=0), Connection(room=9)
    lines = [first.line(), second.line()]
    channel.join(lines[0], None)
    receipts: list[Receipt] = []
    for index, text in enumerate(("a", "b")):
        channel.room.say(f"e.{index}", index + 1, said(text), said(text), lambda _: receipts.append(Delivered()))
    channel.join(lines[1], None)
    assert second.taken == ["a", "b"]
    assert len(receipts) == 2


async def test_one_listener_that_has_it_is_enough(channel: GrpcChannel) -> None:
    slow, quick = Connection(room=0), Connection(room=1)
    lines = [slow.line(), quick.line()]
    for line in lines:
        channel.join(line, None)
    _, [receipt] = tries(channel, "hello")
    channel.room.leave(lines[0])
    assert isinstance(receipt, Delivered)


async def test_a_piece_that_is_larger_than_clients_take_is_said_in_several(channel: GrpcChannel) -> None:
    heard: list[ChannelEvent] = []

    def at_once(event: ChannelEvent) -> bool:
        heard.append(event)
        return True

    async def pieces() -> AsyncIterator[str]:
        yield "a" * 1_200_000
        yield "b"

    channel.join(Line(Connection(room=0).send, frames=8, acks=False, at_once=at_once), None)
    assert await channel.stream(delivery(""), pieces()) == Delivered()
    *said_in, whole = heard
    parts = [(each.index, each.text) for each in said_in if isinstance(each, PieceSaid)]
    assert [index for index, _ in parts] == [0, 1, 2, 3]
    assert max(len(text) for _, text in parts) <= 1024 * 1024
    assert isinstance(whole, ReplySaid)
    assert "".join(text for _, text in parts) == whole.message.content == "a" * 1_200_000 + "b"


async def test_a_fault_at_once_is_met_again_by_the_writer_and_not_by_whoever_speaks() -> None:
    def breaks(frame: str) -> bool:
        raise ValueError(frame)

    async def breaks_too(frame: str) -> None:
        raise ValueError(frame)

    line = Line(breaks_too, frames=8, acks=False, at_once=breaks)
    line.say("x")
    with pytest.raises(ValueError, match="x"):
        await line.run()


async def test_a_line_that_is_full_sends_its_client_away_and_keeps_nothing_more() -> None:
    connection = Connection(room=0)
    line = connection.line(frames=2)
    sent = list[int]()
    for number in range(4):
        line.say(said(str(number)), _adds(sent, number))
    assert not await line.run()
    assert not sent


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
async def test_frames_arrive_once_and_in_order_however_room_comes(rooms: list[int]) -> None:
    connection = Connection(room=0)
    line = connection.line(frames=100)
    sent = list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        for number, room in enumerate(rooms):
            connection.makes_room(room)
            if number % 3:
                await trio.testing.wait_all_tasks_blocked()
            line.say(said(str(number)), _adds(sent, number))
        connection.makes_room(100)
        line.finish()
    assert connection.taken == [str(number) for number in range(len(rooms))]
    assert sent == list(range(len(rooms)))


def said(text: str) -> ReplySaid:
    return ReplySaid(id="e.0", envelope_id="e", message=delivery(text).message, at=0.0)


def _adds(numbers: list[int], number: int) -> Callable[[], None]:
    return lambda: numbers.append(number)


async def test_a_listener_that_comes_in_the_moment_in_which_the_last_one_leaves_hears_the_reply(
    channel: GrpcChannel, nursery: Nursery
) -> None:
    leaving, coming, receipts = Connection(room=9).line(acks=True), Connection(room=9), list[Receipt]()
    channel.join(leaving, None)

    async def deliver() -> None:
        receipts.append(await channel.deliver(delivery("hello")))

    nursery.start_soon(deliver)
    await trio.testing.wait_all_tasks_blocked()
    channel.room.leave(leaving)
    channel.join(coming.line(), None)
    await trio.testing.wait_all_tasks_blocked()
    assert (receipts, coming.taken) == ([Delivered()], ["hello"])
