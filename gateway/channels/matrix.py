"""Matrix, as an application service of one homeserver: it calls us with transactions, we call its client API.

A transaction is many events of many rooms in the homeserver's order. It is answered 200 after the commit
that holds all of its messages, and until then the homeserver sends nothing else: that is the whole of catching
up. What a message needs of the homeserver first (who is in a room heard of for the first time, a file) is asked
before the commit; everything else is plain and quick.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from hmac import compare_digest
from typing import Any

import trio

from gateway.channels.matrix_calls import ROOT, Query, Transaction, done, read_call, refused
from gateway.channels.matrix_errands import CURSOR, Errands, invitation
from gateway.channels.matrix_events import MESSAGES, PLATFORM, Place, message_of, text
from gateway.channels.matrix_homeserver import Homeserver
from gateway.channels.matrix_markup import markdown_of
from gateway.channels.matrix_registration import registration
from gateway.channels.matrix_rooms import Recent, Rooms
from gateway.channels.matrix_sending import Sending
from gateway.channels.matrix_settings import Settings
from gateway.channels.trust import bearer_of
from gateway.message.envelope import Delivery
from gateway.message.message import Message
from gateway.message.receipt import Receipt
from gateway.notices import EnvelopeRefused, UnknownEvent
from gateway.ports import Acceptance, Arrived, Inlet, Kit, Traits
from protocols.errors import HttpClientError
from protocols.http1.messages import Request, Response

__all__ = ("PLATFORM", "MatrixChannel", "Settings", "build", "scaffold")

# 100 events of 64 KiB, and as much again for what has no place in a room (Synapse's bounds for one transaction).
BODY_BYTES = 8 * 1024 * 1024
# What a transaction may wait for the homeserver's own answers; Synapse gives us a minute.
_LEARN_SECONDS = 10.0
# A room that cannot be asked about for so many attempts at one transaction must not hold up all others.
_MOST_TRIES = 3


class MatrixChannel:
    """One application service."""

    platform = PLATFORM
    paths = (ROOT,)
    body_bytes = BODY_BYTES

    def __init__(self, name: str, settings: Settings, kit: Kit) -> None:
        self.name = name
        self.traits = Traits(
            text_limit=settings.text_limit,
            text_unit="bytes",
            idempotent=True,
            can_edit=True,
            can_react=True,
            has_threads=True,
        )
        self._settings, self._kit = settings, kit
        self._hs_token = settings.hs_token.reveal().encode()
        self._ghosts = [re.compile(expression) for expression in settings.ghosts]
        self._homeserver = Homeserver(settings, kit)
        self._rooms = Rooms(self._homeserver, self._is_own)
        self._errands = Errands(name, settings, self._homeserver, kit.report)
        self._sending = Sending(settings, self._homeserver, self._rooms)
        self._done: Recent[str, tuple[str, ...]] = Recent(64)
        self._tries: Recent[str, int] = Recent(64)
        self._place = Place(
            channel=name,
            bot=settings.bot,
            kind=self._rooms.kind,
            title=self._rooms.title,
            name_of=self._rooms.name_of,
            thread_of=self._rooms.thread_of,
            is_ours=self._rooms.is_ours,
            markdown=markdown_of,
        )

    async def run(self, inlet: Inlet, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Take up errands that an earlier life left, and do new ones; transactions come through `receive`."""
        self._errands.restore(await inlet.cursor(CURSOR))
        task_status.started()
        inlet.connected("ready")
        await self._errands.work(inlet)

    # -- in ---------------------------------------------------------------------------------------

    def claims(self, request: Request) -> bool:
        """Tell whether a call to the common path is for this account: by the token, as several may share the path."""
        return compare_digest(bearer_of(request), self._hs_token)

    def receive(self, request: Request, now: float) -> Arrived | Response | Any:
        """Answer the homeserver. Awaits only for a room that is new to us."""
        if not self.claims(request):
            self._kit.report(EnvelopeRefused(self.name, "bad_token", "a call without the hs_token"))
            return refused(403, "M_FORBIDDEN", "The hs_token is wrong or missing.")
        call = read_call(request)
        match call:
            case Response():
                if call.status != 200:
                    self._kit.report(EnvelopeRefused(self.name, "bad_call", f"{request.path[:200]}: {call.status}"))
                return call
            case Query("users", id) if id == self._settings.bot:
                return done()
            case Query():
                return refused(404, "M_NOT_FOUND", "There is none of that name here.")
            case Transaction():
                return self._transaction(call)

    def _transaction(self, call: Transaction) -> Arrived | Response | Any:
        ids = tuple(text(event, "event_id") for event in call.events)
        if self._done.get(call.id) == ids:
            return done()
        unknown = {text(event, "room_id") for event in call.events if event.get("type") in MESSAGES}
        unknown = {room for room in unknown if room and not self._rooms.known(room)}
        if unknown:
            return self._prepared(call, ids, unknown)
        return self._arrived(call, ids)

    async def _prepared(self, call: Transaction, ids: tuple[str, ...], rooms: set[str]) -> Arrived | Response:
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
                self._kit.report(EnvelopeRefused(self.name, "homeserver", f"{why} {error}".strip()))
                return refused(503, "M_UNKNOWN", why)
        return self._arrived(call, ids)

    def _arrived(self, call: Transaction, ids: tuple[str, ...]) -> Arrived:
        messages, errands = [], False
        for event in call.events:
            self._rooms.apply(event)
            if self._notice(event):
                errands = True
            elif (message := self._read(event)) is not None:
                messages.append(message)
        answer = partial(self._answer, call.id, ids)
        return Arrived(tuple(messages), answer, self._errands.cursor() if errands else None)

    def _answer(self, id: str, ids: tuple[str, ...], _: Sequence[Acceptance]) -> Response:
        self._done.put(id, ids)
        return done()

    def _notice(self, event: dict[str, Any]) -> bool:
        """Put on the list what an event asks to be done; tell whether the list changed."""
        user = invitation(event)
        if user and self._is_own(user):
            return self._errands.invited(event, user)
        if event.get("type") == "m.room.encrypted" and not self._is_own(text(event, "sender")):
            return self._errands.encrypted(text(event, "room_id"), self._settings.bot)
        return False

    def _read(self, event: dict[str, Any]) -> Message | None:
        if self._is_own(text(event, "sender")):
            return None
        message = message_of(event, self._place)
        if isinstance(message, str):
            self._kit.report(UnknownEvent(self.name, message))
            return None
        if message.sender.is_bot and not self._settings.answer_bots:
            self._kit.report(UnknownEvent(self.name, "m.notice of another program"))
            return None
        if message.conversation.thread:
            self._rooms.heard(message.id, message.conversation.thread)
        return message

    def _is_own(self, user: str) -> bool:
        return user == self._settings.bot or any(ghost.fullmatch(user) for ghost in self._ghosts)

    # -- out --------------------------------------------------------------------------------------

    def address_of(self, message: Message) -> dict[str, Any]:
        """Nothing but the conversation is needed."""
        return {}

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Send one reply, edit, reaction or redaction."""
        return await self._sending.deliver(delivery)


def scaffold() -> dict[str, str]:
    """Return the files that `oclaw init` writes beside the section: the registration, with fresh tokens."""
    from secrets import token_hex

    text = registration(
        id="oclaw",
        url="http://127.0.0.1:8420",
        hs_token=token_hex(32),
        as_token=token_hex(32),
        bot_localpart="oclaw",
        server_name="example.org",
    )
    return {"matrix-registration.yaml": text}


def build(name: str, settings: Settings, kit: Kit) -> MatrixChannel:
    """Make the channel."""
    return MatrixChannel(name, settings, kit)
