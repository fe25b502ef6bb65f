"""One queue a conversation: order within it, everything else side by side.

A lane walks one message at a time and is free again when that walk's end is submitted: the journal
commits in the order of submission, so the ends of a conversation's walks become durable in its order,
many in one commit. The walk runs straight through in the commit's batch when nothing in it waits, else in
a task of its own, once all that was before it is committed; conversations therefore never wait for each
other. A walk that raises is tried again after a pause, its attempt counted, and buried after too many:
a poison message stops its own conversation for seconds, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import trio
from msgspec.structs import replace

from gateway.errors import in_words, stays_contained
from gateway.flow.aside import Turn, carry_on, straight
from gateway.flow.flight import Flight
from gateway.flow.lane import ENDED, Key, Lane, Led
from gateway.flow.opening import Opening
from gateway.flow.walk import Ending
from gateway.message.envelope import Envelope, lane_key
from gateway.message.lifecycle import InboundState
from gateway.message.message import Message, Sender
from gateway.notices import EnvelopeBuried, Report, RequestFailed
from gateway.ports import Traits
from gateway.telemetry.context import about
from protocols.transport.steps import InStep, at_once

Walk = Callable[[Envelope, Turn], Coroutine[Any, Any, Ending]]


class HandOverTo(Protocol):
    """What takes a walk's ending: commits it, then calls `done`. `opening`: together with the message itself."""

    def __call__(
        self, envelope: Envelope, ending: Ending, done: Callable[[], None], opening: Opening | None = None
    ) -> None: ...


class Lanes:
    """All conversations that have a message in hand. `nursery` holds the walks that stepped aside."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        walk: Walk,
        hand_over: HandOverTo,
        report: Report,
        traits_of: Callable[[str], Traits] = lambda _: Traits(),
        poison_attempts: int = 3,
        in_step: InStep = at_once,
    ) -> None:
        self._in_step = in_step
        self._nursery, self._walk, self._hand_over = nursery, walk, hand_over
        self._report, self._traits_of, self._poison_attempts = report, traits_of, poison_attempts
        self._lanes: dict[Key, Lane] = {}
        self._gathered: dict[Key, Lane] | None = None
        self.flight: Flight | None = None  # names what is walked, while the gateway goes carefully after a crash
        self._aside = self._queued = 0
        self.total = 0  # messages in all lanes, walking or waiting
        self._empty = trio.lowlevel.ParkingLot()

    @property
    def in_hand(self) -> int:
        """Messages that wait for the gateway itself.

        A walk that waits for a model does not, nor does who waits for another message of its conversation: one
        that floods must not close the door to all others.
        """
        return self.total - self._aside - self._queued

    def depth(self, message: Message) -> int:
        """Return how many messages wait in the lane of `message`."""
        lane = self._lanes.get(lane_key(message.channel, message.conversation))
        return 0 if lane is None else len(lane.queue)

    def lead(self, envelope: Envelope, opening: Opening) -> Led | None:
        """Begin the walk of a message that is to be accepted; None when others are before it.

        A walk that ends without waiting closes `opening`: its end and the message are submitted together. One that
        waits or fails leaves it open and goes on with `Led.go_on`, after the commit.
        """
        message = envelope.message
        if message.action != "new":
            return None
        key = lane_key(message.channel, message.conversation)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        elif not lane.is_free or self._gathered is not None:
            return None
        self.total += 1
        return self._start(lane, envelope, opening)

    def expect(self, message: Message) -> None:
        """Keep the place of a message that will be fed when its commit is through."""
        key = lane_key(message.channel, message.conversation)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        lane.coming += 1

    def forget(self, message: Message) -> None:
        """Give up the place: the message was known already, or could not be committed."""
        lane = self._lanes[lane_key(message.channel, message.conversation)]
        lane.coming -= 1
        self._tidy(lane)

    def feed(self, envelope: Envelope, *, expected: bool = False) -> None:
        """Queue an accepted message, or walk it at once when its conversation is quiet. Never raises.

        `expected`: its place was kept.
        """
        message = envelope.message
        key = lane_key(message.channel, message.conversation)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        lane.coming -= expected
        self.total += 1
        if self._gathered is None and lane.may_start and not lane.queue:
            self._named(envelope, partial(self._start, lane, envelope))
        elif message.action == "new" or not self._changes_a_queued_one(lane, envelope):
            lane.queue.append(envelope)
            self._queued += 1
            if lane.walking is None and self._gathered is not None:
                self._gathered[key] = lane

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Queue what is fed in this block, and start only then: so an edit finds its message not yet walking."""
        gathered = self._gathered = dict[Key, Lane]()
        try:
            yield
        finally:
            self._gathered = None
            for lane in gathered.values():
                self._advance(lane)

    async def drained(self) -> None:
        """Return when no lane holds a message. The caller sets the deadline."""
        while self.total:
            await self._empty.park()

    def _advance(self, lane: Lane) -> None:
        """Walk what waits, one after the other, until one steps aside or enough ends are under way."""
        while lane.queue and lane.may_start:
            self._queued -= 1
            envelope = lane.queue.popleft()
            self._named(envelope, partial(self._start, lane, envelope))
        self._tidy(lane)

    def _named(self, envelope: Envelope, step: Callable[[], object]) -> None:
        """Take a step of a message's walk, under its name if names are taken: it may be the gateway's last."""
        flight = self.flight
        if flight is None:
            step()
        else:
            flight.begins(envelope.id)
            step()
            flight.pauses()

    def _start(self, lane: Lane, envelope: Envelope, opening: Opening | None = None) -> Led:
        """Walk a message as far as it gets; what remains is done, but for a message that is still to be accepted."""
        lane.walking = envelope
        if envelope.id in lane.applied:
            lane.applied.discard(envelope.id)
            why = "applied to a message that was still queued"
            self._end(lane, envelope, Ending(InboundState.DONE, why=why, by="lane"))
            return ENDED
        walk = self._walk(envelope, Turn())
        about(envelope.id)
        try:
            ended = straight(walk)
        except trio.Cancelled:
            raise
        except BaseException as error:  # whatever operators plugged in; contained to this message
            if not stays_contained(error):
                raise
            return self._remains(lane, opening, None, partial(self._failed, lane, envelope, error))
        finally:
            about("")
        if ended is None:
            return self._remains(lane, opening, walk, partial(self._step_aside, lane, envelope, walk))
        self._end(lane, envelope, ended, opening)
        return ENDED

    def _remains(
        self, lane: Lane, opening: Opening | None, walk: Coroutine[Any, Any, Ending] | None, then: Callable[[], None]
    ) -> Led:
        """Do what remains, or leave it to the commit of a message that is not stored yet."""
        if opening is None:
            then()
            return ENDED
        led = Led(partial(self._follow, lane))
        led.walk, led.next = walk, then
        return led

    def _follow(self, lane: Lane, then: Callable[[], None] | None) -> None:
        """Do what remained of a led walk, or free its lane: nothing came of it."""
        if then is not None:
            then()
        else:
            lane.walking = None
            self._forget(1)
        self._advance(lane)

    def _step_aside(self, lane: Lane, envelope: Envelope, walk: Coroutine[Any, Any, Ending]) -> None:
        self._aside += 1
        self._nursery.start_soon(self._rest, lane, envelope, walk)

    async def _rest(self, lane: Lane, envelope: Envelope, walk: Coroutine[Any, Any, Ending]) -> None:
        about(envelope.id)
        try:
            await self._all_settled(lane, walk)
            ending = await (self.flight.carry_on(envelope.id, walk) if self.flight else carry_on(walk))
        except trio.Cancelled:
            raise
        except BaseException as error:
            if not stays_contained(error):
                raise
            self._aside -= 1
            self._failed(lane, envelope, error)
        else:
            self._aside -= 1
            self._named(envelope, partial(self._end, lane, envelope, ending))
        self._advance(lane)

    async def _all_settled(self, lane: Lane, walk: Coroutine[Any, Any, Ending]) -> None:
        """Wait until the ends before this walk are committed: it may read what they said, or show what it says."""
        try:
            while lane.uncommitted:
                lane.settled = lane.settled or trio.Event()
                await lane.settled.wait()
        except BaseException:
            walk.close()
            raise

    def _end(self, lane: Lane, envelope: Envelope, ending: Ending, opening: Opening | None = None) -> None:
        """Submit the end of a walk, and free the lane."""
        lane.walking = None
        lane.uncommitted += 1
        # While names are taken the hand-over is done under the message's own: what it calls may end the process.
        in_step = self._in_step if self.flight is None else at_once
        in_step(partial(self._submit, lane, envelope, ending, opening))

    def _submit(self, lane: Lane, envelope: Envelope, ending: Ending, opening: Opening | None) -> None:
        committed = partial(self._committed, lane)
        try:
            self._hand_over(envelope, ending, committed, opening)
        except MemoryError:  # ours, not the message's: the next start walks it again
            raise
        except trio.Cancelled:
            raise
        except BaseException as error:  # a hook or a model made what no record can hold, or a channel fails to cut it
            if not stays_contained(error):
                raise
            why = f"its end cannot be kept: {in_words(error)}"
            self._report(EnvelopeBuried(envelope.id, envelope.message.channel, why))
            self._hand_over(envelope, Ending(InboundState.DEAD, why=why, by="walk"), committed, opening)

    def _committed(self, lane: Lane) -> None:
        lane.uncommitted -= 1
        self._forget(1)
        if lane.settled is not None and not lane.uncommitted:
            lane.settled.set()
            lane.settled = None
        if lane.queue:
            self._advance(lane)
        else:
            self._tidy(lane)

    def _tidy(self, lane: Lane) -> None:
        if lane.is_done and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _forget(self, count: int) -> None:
        self.total -= count
        if not self.total and self._empty:
            self._empty.unpark_all()

    def _failed(self, lane: Lane, envelope: Envelope, error: BaseException) -> None:
        why = in_words(error)
        self._report(RequestFailed("the walk of a message", why, envelope.id))
        if envelope.attempt >= self._poison_attempts:
            self._report(EnvelopeBuried(envelope.id, envelope.message.channel, why))
            self._end(lane, envelope, Ending(InboundState.DEAD, why=why, by="walk"))
        else:
            again = replace(envelope, attempt=envelope.attempt + 1)
            self._aside += 1
            self._nursery.start_soon(self._again, lane, again)

    async def _again(self, lane: Lane, envelope: Envelope) -> None:
        await trio.sleep(0.25 * 2.0 ** (envelope.attempt - 2))
        self._aside -= 1
        self._named(envelope, partial(self._start, lane, envelope))
        self._advance(lane)

    def _changes_a_queued_one(self, lane: Lane, change: Envelope) -> bool:
        """Apply an edit or a delete to a message that still waits; a reaction is about one and changes nothing of it.

        The edit itself stays queued behind it, so that a crash finds both and applies it again.
        """
        if change.message.type == "reaction":
            return False
        by, deletes = _known_as(change.message.sender), change.message.action == "delete"
        anybodys = deletes and self._traits_of(change.message.channel).checks_deletions
        for index, waiting in enumerate(lane.queue):  # noqa: B007
            its_senders = _known_as(waiting.message.sender) == by
            if waiting.message.id == change.message.target_id and (its_senders or anybodys):
                break
        else:
            return False
        if deletes:
            del lane.queue[index]
            self._queued -= 1
            why = "deleted by its sender" if its_senders else "deleted by a moderator"
            self._settle(waiting, Ending(InboundState.DROPPED, why=why, by="lane"))
            self._settle(change, Ending(InboundState.DONE, why="deleted a message that was still queued", by="lane"))
        else:
            edited = replace(waiting.message, content=change.message.content, attachments=change.message.attachments)
            lane.queue[index] = replace(waiting, message=edited)
            lane.applied.add(change.id)
            lane.queue.append(change)
            self._queued += 1
        return True

    def _settle(self, envelope: Envelope, ending: Ending) -> None:
        self._hand_over(envelope, ending, lambda: self._forget(1))


def _known_as(sender: Sender) -> str:
    """Return what stands for a person; of one with an id, platforms tell the name now so, now otherwise or not."""
    return sender.id or sender.name
