"""A transaction becomes messages and errands. What must be asked of the homeserver first is asked before the commit.

Most transactions need nothing of that kind and are read in one step. A room heard of for the first time has to be known
(is it direct?), and files are fetched while they can be; for both the homeserver waits, as it sends nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import trio
from msgspec import Struct

from gateway.channels.matrix_calls import Transaction, done, refused
from gateway.channels.matrix_catchup import CatchUp, merged
from gateway.channels.matrix_errands import Errands, invitation, is_farewell
from gateway.channels.matrix_events import MESSAGES, Place, message_of, text
from gateway.channels.matrix_files import Files
from gateway.channels.matrix_ghosts import Ghosts
from gateway.channels.matrix_rooms import Recent, Rooms
from gateway.channels.matrix_settings import Settings
from gateway.channels.shared.loops import LoopGuard
from gateway.message.message import Message
from gateway.notices import EnvelopeRefused, EventIgnored, Report, UnknownEvent
from gateway.ports import Acceptance, Arrived
from protocols.errors import HttpClientError
from protocols.http1.messages import Response

Taken = Arrived | Response

# What a transaction may wait for the homeserver's own answers; Synapse gives us a minute in all.
_LEARN_SECONDS = 10.0
# A room that cannot be asked about for so many attempts at one transaction must not hold up all others.
_MOST_TRIES = 3
_CATCH_UP_SECONDS = 30.0
# What is read back while the homeserver's order is not relied on is mostly this: the last minute of some rooms.
_MOST_TAKEN = 2_048


class Batch(Struct, frozen=True):
    """A transaction under way: `ids` are of its own events, `events` have what was missed before them, in which case
    `doubts` says how many doubts that settles."""

    id: str
    ids: tuple[str, ...]
    events: tuple[dict[str, Any], ...]
    doubts: int = 0


class Intake:
    """The receiving side of one account."""

    def __init__(
        self,
        settings: Settings,
        place: Place,
        report: Report,
        *,
        rooms: Rooms,
        errands: Errands,
        files: Files,
        ghosts: Ghosts,
        catch_up: CatchUp,
        now: Callable[[], float],
    ) -> None:
        self._catch_up, self._now = catch_up, now
        self._settings, self._place, self._report = settings, place, report
        self._rooms, self._errands, self._files, self._ghosts = rooms, errands, files, ghosts
        self._guard = LoopGuard((settings.bot,), answer_bots=settings.answer_bots)
        self._one = trio.Lock()
        self._done: Recent[str, tuple[str, ...]] = Recent(64)
        self._tries: Recent[str, int] = Recent(64)
        self._taken: Recent[str, str] = Recent(_MOST_TAKEN)

    def take(self, call: Transaction) -> Taken | Awaitable[Taken]:
        """Read a transaction; one that is known with all its events is over at once."""
        ids = tuple(text(event, "event_id") for event in call.events)
        if self._done.get(call.id) == ids:
            return done()
        batch = Batch(call.id, ids, call.events)
        if self._catch_up.needed or self._overtaking(batch):
            return self._after_catching_up(batch)
        unknown = self._unknown(batch)
        return self._after_learning(batch, unknown) if unknown else self._read(batch)

    async def missed(self) -> Taken:
        """Read back what was missed although no transaction came; nothing of it is known to the homeserver."""
        return await self._after_catching_up(Batch("", (), ()))

    async def _after_catching_up(self, batch: Batch) -> Taken:
        """Put what was missed before what comes now, which waits meanwhile: the homeserver keeps its order."""
        async with self._one:
            try:
                with trio.fail_after(_CATCH_UP_SECONDS):
                    batch = await self._with_missed(batch)
            except (HttpClientError, trio.TooSlowError) as error:
                return self._again(f"The homeserver did not answer when its rooms were read back. {error}")
            return await self._after_learning(batch, self._unknown(batch))

    async def _with_missed(self, batch: Batch) -> Batch:
        if self._catch_up.needed:
            doubts = self._catch_up.doubts
            missed = await self._catch_up.missed(self._now())
        elif rooms := self._overtaking(batch):
            doubts = 0
            said = await self._catch_up.missed_in(rooms, self._now())
            missed = [event for event in said if not self._taken.get(text(event, "event_id"))]
        else:
            return batch
        return Batch(batch.id, batch.ids, merged(missed, batch.events), doubts)

    def _overtaking(self, batch: Batch) -> list[str]:
        """List the rooms in which something new is said before it is certain that all before it was heard."""
        if not self._catch_up.unsure:
            return []
        new = [event for event in batch.events if text(event, "type") in MESSAGES and not self._is_known(event)]
        return sorted({text(event, "room_id") for event in new} - {""})

    def _is_known(self, event: dict[str, Any]) -> bool:
        return self._ghosts.is_own(text(event, "sender")) or bool(self._taken.get(text(event, "event_id")))

    async def _after_learning(self, batch: Batch, rooms: set[str]) -> Taken:
        """Learn about rooms first. If that fails, the homeserver shall come again; one transaction not for ever."""
        try:
            with trio.fail_after(_LEARN_SECONDS):
                await self._rooms.learn_all(rooms)
        except (HttpClientError, trio.TooSlowError) as error:
            tries = (self._tries.get(batch.id) or 0) + 1
            self._tries.put(batch.id, tries)
            if tries < _MOST_TRIES or not batch.id:
                return self._again(f"The homeserver did not answer when it was asked about a room. {error}")
        read = self._read(batch)
        return read if isinstance(read, Arrived) else await read

    def _unknown(self, batch: Batch) -> set[str]:
        for event in batch.events:
            self._rooms.doubt(event)
        rooms = {text(event, "room_id") for event in batch.events if text(event, "type") in MESSAGES}
        return {room for room in rooms if room and not self._rooms.known(room)}

    def _again(self, why: str) -> Response:
        self._report(EnvelopeRefused(self._place.channel, "homeserver", why.strip()))
        return refused(503, "M_UNKNOWN", why.strip())

    def _read(self, batch: Batch) -> Arrived | Awaitable[Arrived]:
        messages: list[Message] = []
        errands = False
        for event in batch.events:
            self._rooms.apply(event)
            if self._noted(event):
                errands = True
            elif (message := self._message(event)) is not None:
                messages.append(message)
        if self._files.wanted(messages):
            return self._with_files(batch, messages, errands=errands)
        return self._arrived(batch, messages, errands=errands)

    async def _with_files(self, batch: Batch, messages: list[Message], *, errands: bool) -> Arrived:
        return self._arrived(batch, await self._files.fetched(messages), errands=errands)

    def _arrived(self, batch: Batch, messages: Sequence[Message], *, errands: bool) -> Arrived:
        now = self._now()
        cursor = self._errands.cursor() if errands else self._catch_up.cursor(now) if messages else None
        return Arrived(tuple(messages), partial(self._committed, batch, now), cursor)

    def _committed(self, batch: Batch, now: float, acceptances: Sequence[Acceptance]) -> Response:
        self._done.put(batch.id, batch.ids)
        self._tries.drop(batch.id)
        for event in batch.events:
            id = text(event, "event_id")
            self._taken.put(id, id)
        self._catch_up.settled(batch.doubts)
        if acceptances:
            self._catch_up.heard(now)
        return done()

    def _noted(self, event: dict[str, Any]) -> bool:
        """Put on the list what an event asks to be done; tell whether the list changed."""
        user = invitation(event)
        if user and self._ghosts.is_own(user):
            return self._errands.invited(event, user)
        if is_farewell(event):
            return self._errands.moved(event)
        if event.get("type") == "m.room.encrypted" and not self._ghosts.is_own(text(event, "sender")):
            return self._errands.encrypted(text(event, "room_id"), self._settings.bot)
        return False

    def _message(self, event: dict[str, Any]) -> Message | None:
        channel = self._place.channel
        if self._ghosts.is_own(text(event, "sender")):
            self._report(EventIgnored(channel, "own"))
            return None
        message = message_of(event, self._place)
        if isinstance(message, str):
            self._report(UnknownEvent(channel, message))
            return None
        objection = self._guard.objection(message) or self._errands.objection(message.conversation.id)
        if objection:
            self._report(EventIgnored(channel, objection))
            return None
        if message.conversation.thread:
            self._rooms.heard(message.id, message.conversation.thread)
        return message
