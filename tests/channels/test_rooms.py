"""In a room numbers only rise: a client that drops what is not newer than the last it has seen loses nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channels.rooms import Room, Sent

Frame = tuple[int, str]


class Line:
    """A client's connection. What is said stays under way until the client reads it; `at_once` needs no reading."""

    prompt = False

    def __init__(self, *, acks: bool = True, at_once: bool = False, only: str = "") -> None:
        self.acks, self.at_once, self.only = acks, at_once, only
        self.said: list[Frame] = []

    def wants(self, frame: Frame) -> bool:
        return frame[1].startswith(self.only)

    def say(self, frame: Frame, sent: Sent | None = None) -> None:
        self.said.append(frame)
        if self.at_once and sent is not None:
            sent()


class House:
    """A room, and what came of the replies that were said in it."""

    def __init__(self, **kept: int) -> None:
        self.room = Room[Frame](lambda: 0.0, lambda _: 1, **kept)
        self.waits: list[str] = []
        self.delivered: list[str] = []

    def says(self, id: str) -> int:
        """Make an attempt; a reply that reaches nobody waits for another."""
        seq = self.room.number(id)
        frame = (seq, id)
        if self.room.heard(frame):
            self.room.say(id, seq, frame, frame, lambda answer: (self.delivered if answer else self.waits).append(id))
        else:
            self.waits.append(id)
        return seq


def test_a_reply_that_is_said_again_after_another_comes_under_a_newer_number() -> None:
    house, first, second = House(), Line(), Line()
    house.room.join(first, None)
    a = house.says("a")
    house.room.leave(first)
    assert house.waits == ["a"]
    house.room.join(second, a - 1)
    b = house.says("b")
    house.says("a")
    assert [id for _, id in second.said] == ["b", "a"]
    assert second.said[0][0] == b < second.said[1][0]
    house.room.taken(b)
    assert house.delivered == ["b"], "that the client has the one says nothing about the other"


def test_the_newest_reply_is_said_again_under_its_number() -> None:
    house = House()
    assert house.says("a") == house.says("a")
    house.room.join(Line(acks=False, at_once=True), None)
    again = house.says("a")
    assert house.delivered == ["a"]
    assert house.says("a") > again


def test_who_joins_hears_what_was_missed_and_what_waits_in_one_order() -> None:
    house, slow, quick, late = House(), Line(only="a"), Line(only="b", acks=False, at_once=True), Line(acks=False)
    house.room.join(slow, None)
    house.room.join(quick, None)
    last = house.room.seq
    for id in ("a1", "b1", "a2", "b2"):
        house.says(id)
    house.room.join(late, last)
    assert [id for _, id in late.said] == ["a1", "b1", "a2", "b2"]


def test_what_a_joining_client_brings_about_comes_behind_what_it_has_still_to_hear() -> None:
    house, slow, late = House(), Line(), Line(acks=False, at_once=True)
    room = house.room
    room.join(slow, None)
    frame = (room.number("a1"), "a1")
    # As the outbox does: the next of a conversation goes when the one before it is delivered.
    room.say("a1", frame[0], frame, frame, lambda _: house.waits.append(str(house.says("a2"))))
    house.says("b1")
    room.join(late, None)
    assert [id for _, id in late.said] == ["a1", "b1", "a2"]


def test_what_is_confirmed_late_leaves_the_log_first_and_a_gap_stays_a_gap() -> None:
    house, slow, quick = House(replies=2), Line(only="a"), Line(only="b", acks=False, at_once=True)
    house.room.join(slow, None)
    house.room.join(quick, None)
    a = house.says("a")
    numbers = [house.says(f"b{index}") for index in range(3)]
    house.room.taken(a)
    assert house.delivered == ["b0", "b1", "b2", "a"]
    assert not house.room.covers(a)
    assert house.room.covers(numbers[0])
    late = Line()
    house.room.join(late, numbers[0])
    assert [id for _, id in late.said] == ["b1", "b2"]


WORDS = st.tuples(st.sampled_from(["new", "again", "reads", "breaks"]), st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, max_size=40))
def test_a_client_that_confirms_and_comes_back_whenever_its_connection_breaks_has_every_reply(
    words: list[tuple[str, int]],
) -> None:
    house, line = House(), Line()
    has: list[str] = []
    last = house.room.seq
    house.room.join(line, last)
    read = made = 0

    def reads(frames: int) -> None:
        nonlocal last, read
        for seq, id in line.said[read : read + frames]:
            read += 1
            if seq > last:
                has.append(id)
                last = seq
        house.room.taken(last)

    for word, number in [*words, ("breaks", 0)]:
        if word == "new":
            made += 1
            house.says(str(made))
        elif word == "again" and house.waits:
            house.says(house.waits.pop(number % len(house.waits)))
        elif word == "reads":
            reads(number)
        elif word == "breaks":
            assert line.said == sorted(line.said, key=lambda frame: frame[0])
            house.room.leave(line)
            line, read = Line(), 0
            house.room.join(line, last)
    for id in house.waits:
        house.says(id)
    reads(len(line.said))
    assert {int(id) for id in has} == set(range(1, made + 1))
