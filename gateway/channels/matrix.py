"""Matrix, as an application service of one homeserver: it calls us with transactions, we call its client API.

A transaction is many events of many rooms in the homeserver's order. It is answered 200 after the commit
that holds all of its messages, and until then the homeserver sends nothing else: that is the whole of catching
up. This file plugs the parts together, `matrix_*.py`, each of which answers one question.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from hmac import compare_digest
from typing import Any, assert_never

import trio

from gateway.channels.matrix_calls import ROOT, Query, Transaction, done, read_call, refused
from gateway.channels.matrix_catchup import CURSOR as HEARD
from gateway.channels.matrix_catchup import LONGEST_SECONDS, CatchUp
from gateway.channels.matrix_checkup import checkup
from gateway.channels.matrix_errands import CURSOR, Errands
from gateway.channels.matrix_events import PLATFORM, Place
from gateway.channels.matrix_files import Files
from gateway.channels.matrix_ghosts import Ghosts
from gateway.channels.matrix_history import History
from gateway.channels.matrix_homeserver import Homeserver, room_path, segment
from gateway.channels.matrix_intake import Intake, Taken
from gateway.channels.matrix_markup import markdown_of
from gateway.channels.matrix_presence import Presence
from gateway.channels.matrix_registration import registration
from gateway.channels.matrix_rooms import Rooms
from gateway.channels.matrix_sending import Sending
from gateway.channels.matrix_settings import Settings
from gateway.channels.shared.backoff import Backoff
from gateway.channels.shared.reconnect import Link, keep_connected, offline
from gateway.channels.trust import bearer_of
from gateway.message.envelope import Delivery
from gateway.message.message import Conversation, Message
from gateway.message.receipt import Receipt
from gateway.notices import EnvelopeRefused
from gateway.ports import Arrived, Finding, Inlet, Kit, Refused, Traits
from protocols.http1.messages import Request, Response

__all__ = ("PLATFORM", "MatrixChannel", "Settings", "build", "scaffold")

# 100 events of 64 KiB, and room for what is no event of a room (Synapse's bounds for one transaction).
BODY_BYTES = 8 * 1024 * 1024
# Clients show "typing" for 30 s after we said so; said again every 20 s it does not flicker.
_TYPING_SECONDS, _TYPING_SHOWN_MS = 20.0, 30_000
# A homeserver is mostly a neighbour: one that restarts is back within seconds.
_BACKOFF = Backoff(longest_seconds=60.0)


class MatrixChannel:
    """One application service."""

    platform = PLATFORM
    paths = (ROOT,)
    body_bytes = BODY_BYTES

    def __init__(self, name: str, settings: Settings, kit: Kit) -> None:
        self.name = name
        self.traits = _traits(settings)
        self._settings, self._report = settings, kit.report
        self._hs_token = settings.hs_token.reveal().encode()
        self._homeserver = Homeserver(settings, kit)
        self._ghosts = Ghosts(settings.ghosts, settings.bot, self._homeserver)
        self._errands = Errands(name, settings, self._homeserver, kit.report)
        self._catch_up = CatchUp(name, History(self._homeserver), kit.report)
        self._restoring: trio.Event | None = None
        self._presence = Presence(name, settings, self._homeserver, self._ghosts, self._caught_up)
        rooms = Rooms(self._homeserver, self._ghosts.is_own)
        files = Files(name, settings, kit, self._homeserver)
        self._sending = Sending(
            settings,
            kit,
            self._homeserver,
            rooms=rooms,
            files=files,
            ghosts=self._ghosts,
            is_encrypted=self._errands.is_encrypted,
            lost=self._lost,
        )
        place = Place(
            channel=name,
            bot=settings.bot,
            kind=rooms.kind,
            title=rooms.title,
            name_of=rooms.name_of,
            thread_of=rooms.thread_of,
            is_ours=rooms.is_ours,
            markdown=markdown_of,
        )
        self._intake = Intake(
            settings,
            place,
            kit.report,
            rooms=rooms,
            errands=self._errands,
            files=files,
            ghosts=self._ghosts,
            catch_up=self._catch_up,
            now=kit.now,
        )

    async def run(  # noqa: ASYNC128 - keep_connected calls started()
        self, inlet: Inlet, *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Stay in touch with the homeserver and do errands, those of an earlier life first. Calls come to `receive`."""
        await self._restore(inlet)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._errands.work, inlet)
            session = partial(self._session, inlet)
            await keep_connected(session, inlet, task_status=task_status, backoff=_BACKOFF)

    async def _restore(self, inlet: Inlet) -> None:
        """Take up what an earlier life knew. Transactions wait meanwhile, or they would be committed with less."""
        self._restoring = restoring = trio.Event()
        try:
            self._errands.restore(await inlet.cursor(CURSOR))
            self._catch_up.restore(await inlet.cursor(HEARD))
        finally:
            self._restoring = None
            restoring.set()

    async def _session(self, inlet: Inlet, link: Link) -> None:
        try:
            await self._presence.hold(inlet, link)
        finally:
            self._catch_up.doubt()

    # -- in ---------------------------------------------------------------------------------------

    def claims(self, request: Request) -> bool:
        """Tell whether a call to the common path is for this account: by the token, as several may share the path."""
        return compare_digest(bearer_of(request), self._hs_token)

    def receive(self, request: Request, now: float) -> Taken | Awaitable[Taken]:
        """Answer the homeserver. Awaits only what must be asked before the commit."""
        if not self.claims(request):
            self._report(EnvelopeRefused(self.name, "bad_token", "a call without the hs_token"))
            return refused(403, "M_FORBIDDEN", "The hs_token is wrong or missing.")
        self._presence.heard()
        call = read_call(request)
        match call:
            case Response():
                if call.status != 200:
                    self._report(EnvelopeRefused(self.name, "bad_call", f"{request.path[:200]}: {call.status}"))
                return call
            case Query():
                return self._exists(call)
            case Transaction():
                restoring = self._restoring
                return self._intake.take(call) if restoring is None else self._take_after(restoring, call)
            case never:
                assert_never(never)

    async def _take_after(self, restoring: trio.Event, call: Transaction) -> Taken:
        await restoring.wait()
        taken = self._intake.take(call)
        return await taken if isinstance(taken, Awaitable) else taken

    def _exists(self, query: Query) -> Response | Awaitable[Taken]:
        if query.kind == "users" and query.id == self._settings.bot:
            return done()
        if query.kind == "users" and self._ghosts.is_ghost(query.id):
            return self._make_ghost(query.id)
        return refused(404, "M_NOT_FOUND", "There is none of that name here.")

    async def _make_ghost(self, user: str) -> Taken:
        made = await self._ghosts.register(user)
        return done() if made.ok else refused(404, "M_NOT_FOUND", made.words)

    # -- out --------------------------------------------------------------------------------------

    def address_of(self, message: Message) -> dict[str, Any]:
        """Keep who asked: a reply in a group mentions them."""
        return {"asked_by": message.sender.id}

    def circuit_of(self, delivery: Delivery) -> str:
        """A room that refuses for now says nothing about the others; that the homeserver is away is known here."""
        return delivery.message.conversation.id

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Send one reply, edit, reaction or redaction."""
        if self._presence.away:
            return offline("the homeserver")
        return await self._sending.deliver(delivery)

    async def stream(self, delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        """Show a reply while it is written."""
        return await self._sending.stream(delivery, pieces)

    async def typing(self, conversation: Conversation, *, working: bool) -> None:
        """Show in a room that an answer is being made. Raises `HttpClientError`."""
        path = f"{room_path(conversation.id)}/typing/{segment(self._settings.bot)}"
        shown = {"typing": True, "timeout": _TYPING_SHOWN_MS} if working else {"typing": False}
        await self._homeserver.call("PUT", path, shown)

    async def doctor(self, tell: Callable[[Finding], None]) -> None:
        """Try the homeserver: is it there, does it know us, does it reach us."""
        await checkup(self._settings, self._homeserver, tell)

    async def _caught_up(self, inlet: Inlet) -> None:
        """Take what was missed, when the homeserver is back and has nothing new to say."""
        if self._catch_up.needed:
            taken = await self._intake.missed()
            if isinstance(taken, Arrived):
                accepted = await inlet.accept(taken.messages, taken.cursor)
                if not any(isinstance(each, Refused) for each in accepted):
                    taken.answer(accepted)

    def _lost(self) -> None:
        self._catch_up.doubt()
        self._presence.doubt()


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


def _traits(settings: Settings) -> Traits:
    return Traits(
        text_limit=settings.text_limit,
        text_unit="bytes",
        idempotent=True,
        can_edit=True,
        checks_deletions=True,
        can_stream=True,
        can_react=True,
        has_threads=True,
        takes_media=True,
        dedupe_seconds=LONGEST_SECONDS + 86_400.0,
        typing_seconds=_TYPING_SECONDS if settings.typing else 0.0,
    )
