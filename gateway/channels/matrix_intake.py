"""A transaction becomes messages and errands. What must be asked of the homeserver first is asked before the commit.

Most transactions need nothing of that kind and are read in one step. A room heard of for the first time has to be known
(is it direct?), and files are fetched while they can be; for both the homeserver waits, as it sends nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

import trio

from gateway.channels.matrix_calls import Transaction, done, refused
from gateway.channels.matrix_errands import Errands, invitation
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
    ) -> None:
        self._settings, self._place, self._report = settings, place, report
        self._rooms, self._errands, self._files, self._ghosts = rooms, errands, files, ghosts
        self._guard = LoopGuard((settings.bot,), answer_bots=settings.answer_bots)
        self._done: Recent[str, tuple[str, ...]] = Recent(64)
        self._tries: Recent[str, int] = Recent(64)

    def take(self, call: Transaction) -> Taken | Awaitable[Taken]:
        """Read a transaction; one that is known with all its events is over at once."""
        ids = tuple(text(event, "event_id") for event in call.events)
        if self._done.get(call.id) == ids:
            return done()
        rooms = {text(event, "room_id") for event in call.events if event.get("type") in MESSAGES}
        unknown = {room for room in rooms if room and not self._rooms.known(room)}
        return self._after_learning(call, ids, unknown) if unknown else self._read(call, ids)

    async def _after_learning(self, call: Transaction, ids: tuple[str, ...], rooms: set[str]) -> Taken:
        """Learn about rooms first. If that fails, the homeserver shall come again; but not for ever."""
        try:
            with trio.fail_after(_LEARN_SECONDS):
                for room in rooms:
                    await self._rooms.learn(room)
        except (HttpClientError, trio.TooSlowError) as error:
            tries = (self._tries.get(call.id) or 0) + 1
            self._tries.put(call.id, tries)
            if tries < _MOST_TRIES:
                why = "The homeserver did not answer when it was asked about a room."
                self._report(EnvelopeRefused(self._place.channel, "homeserver", f"{why} {error}".strip()))
                return refused(503, "M_UNKNOWN", why)
        read = self._read(call, ids)
        return read if isinstance(read, Arrived | Response) else await read

    def _read(self, call: Transaction, ids: tuple[str, ...]) -> Taken | Awaitable[Taken]:
        messages: list[Message] = []
        errands = False
        for event in call.events:
            self._rooms.apply(event)
            if self._noted(event):
                errands = True
            elif (message := self._message(event)) is not None:
                messages.append(message)
        if self._files.wanted(messages):
            return self._with_files(call.id, ids, messages, errands=errands)
        return self._arrived(call.id, ids, messages, errands=errands)

    async def _with_files(self, id: str, ids: tuple[str, ...], messages: list[Message], *, errands: bool) -> Taken:
        return self._arrived(id, ids, await self._files.fetched(messages), errands=errands)

    def _arrived(self, id: str, ids: tuple[str, ...], messages: Sequence[Message], *, errands: bool) -> Arrived:
        answer = partial(self._committed, id, ids)
        return Arrived(tuple(messages), answer, self._errands.cursor() if errands else None)

    def _committed(self, id: str, ids: tuple[str, ...], _: Sequence[Acceptance]) -> Response:
        self._done.put(id, ids)
        return done()

    def _noted(self, event: dict[str, Any]) -> bool:
        """Put on the list what an event asks to be done; tell whether the list changed."""
        user = invitation(event)
        if user and self._ghosts.is_own(user):
            return self._errands.invited(event, user)
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
