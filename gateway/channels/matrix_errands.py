"""What is to be done in rooms besides answering: follow an invitation or turn it down, decline an encrypted room.

An errand is committed with the event that caused it, so that a crash does not lose it, and struck off when
the homeserver has settled it. Each may be done twice without harm: joining again changes nothing, and the notice
in an encrypted room has one transaction id for ever.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from hashlib import blake2b
from math import inf
from typing import Any, Literal

import msgspec
import trio
from msgspec import Struct

from gateway.channels.matrix_events import identifier, table, text
from gateway.channels.matrix_homeserver import CLIENT, Answer, Homeserver, room_path, segment
from gateway.channels.matrix_settings import Settings
from gateway.notices import EnvelopeRefused, Report
from gateway.ports import Cursor, Inlet
from protocols.errors import HttpClientError

CURSOR = "errands"
# Invitations are free to send, and one into a room of a server that is gone is tried for ever.
_MOST_PENDING = 500
# Rooms that were told once; the notice's transaction id still keeps older ones from hearing it twice within a day.
_MOST_DECLINED = 2_000
_CALL_SECONDS = 30.0
# A large room of other servers takes minutes to join, and who invites us to a small one expects us at once.
_AT_ONCE = 4
_LONGEST_PAUSE = 300.0

_Key = tuple[str, str, bool]


class Errand(Struct, frozen=True):
    """One thing to do in one room, as `user`: the bot or a ghost. `via`: a server to ask where nobody invited us."""

    what: Literal["join", "leave", "decline"]
    room: str
    user: str
    via: str = ""


class Errands:
    """The list of one account. `noticed` events put things on it, `work` does them for ever."""

    def __init__(self, name: str, settings: Settings, homeserver: Homeserver, report: Report) -> None:
        self._name, self._settings, self._homeserver, self._report = name, settings, homeserver, report
        self._pending: dict[_Key, Errand] = {}
        self._under_way: set[_Key] = set()
        # How long each was left alone when it could not be done, and until when.
        self._pauses: dict[_Key, tuple[float, float]] = {}
        self._declined: dict[str, None] = {}
        self._added = trio.Event()

    def restore(self, kept: str) -> None:
        """Take up what an earlier life left undone."""
        try:
            pending, declined = msgspec.json.decode(kept, type=tuple[list[Errand], list[str]])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        self._pending = {_key(errand): errand for errand in pending} | self._pending
        self._declined = dict.fromkeys(declined) | self._declined

    def cursor(self) -> Cursor:
        """Return the list as it stands, to be committed with what changed it."""
        kept = (tuple(self._pending.values()), tuple(self._declined))
        return Cursor(CURSOR, msgspec.json.encode(kept).decode())

    def invited(self, event: dict[str, Any], user: str) -> bool:
        """Note an invitation of `user`, who is ours; False when there is nothing to commit."""
        room, inviter = text(event, "room_id"), text(event, "sender")
        welcome = self._welcome(room, inviter)
        if not welcome:
            self._report(EnvelopeRefused(self._name, "invitation", f"{inviter} into {room}"))
        return self._add(Errand("join" if welcome else "leave", room, user))

    def moved(self, event: dict[str, Any]) -> bool:
        """Note that a room goes on in another one, by somebody who may invite us. False: nothing to commit."""
        room, mover = identifier(table(event, "content"), "replacement_room"), text(event, "sender")
        if not room or not self._welcome(room, mover):
            return False
        return self._add(Errand("join", room, self._settings.bot, via=mover.partition(":")[2]))

    def objection(self, room: str) -> str:
        """Return why a room is not listened to (a word for counting), or ''."""
        rooms = self._settings.rooms
        return "room" if rooms and not any(fnmatchcase(room, allowed) for allowed in rooms) else ""

    def encrypted(self, room: str, user: str) -> bool:
        """Note that an encrypted message came; False when the room was told already."""
        if room in self._declined or not self._settings.encrypted_notice:
            return False
        return self._add(Errand("decline", room, user))

    def is_encrypted(self, room: str) -> bool:
        """Tell whether something encrypted came from a room, in this life or an earlier one: no room ceases to be."""
        return room in self._declined or _key(Errand("decline", room, self._settings.bot)) in self._pending

    async def work(self, inlet: Inlet) -> None:
        """Do errands as they come, for ever, a few at a time; one that cannot be done now is tried again later."""
        async with trio.open_nursery() as nursery:
            for _ in range(_AT_ONCE):
                nursery.start_soon(self._work, inlet)

    async def _work(self, inlet: Inlet) -> None:
        while True:
            errand = min(self._idle(), key=self._due, default=None)
            due = inf if errand is None else self._due(errand)
            if errand is None or due > trio.current_time():
                with trio.move_on_at(due):
                    await self._added.wait()
                continue
            self._under_way.add(_key(errand))
            try:
                over = await self._do(errand)
            finally:
                self._under_way.discard(_key(errand))
            if over:
                self._strike(errand)
                await inlet.accept((), self.cursor())
            elif self._pending.get(_key(errand)) is errand:
                pause = min(self._pauses.get(_key(errand), (1.0, 0.0))[0] * 2, _LONGEST_PAUSE)
                self._pauses[_key(errand)] = (pause, trio.current_time() + pause)

    def _idle(self) -> list[Errand]:
        return [errand for key, errand in self._pending.items() if key not in self._under_way]

    def _due(self, errand: Errand) -> float:
        return self._pauses.get(_key(errand), (0.0, 0.0))[1]

    def _add(self, errand: Errand) -> bool:
        key = _key(errand)
        if self._pending.get(key) == errand:
            return True  # it may have been noted by an event that could not be committed, and comes again
        if key not in self._pending and len(self._pending) >= _MOST_PENDING:
            self._drop(next(iter(self._pending)))  # what could not be done for longest keeps nobody else out
        self._pending[key] = errand
        self._pauses.pop(key, None)
        self._added.set()
        self._added = trio.Event()
        return True

    def _strike(self, errand: Errand) -> None:
        if self._pending.get(_key(errand)) is errand:
            self._drop(_key(errand))
        if errand.what == "decline":
            self._declined[errand.room] = None
            if len(self._declined) > _MOST_DECLINED:
                del self._declined[next(iter(self._declined))]

    def _drop(self, key: _Key) -> None:
        del self._pending[key]
        self._pauses.pop(key, None)

    def _welcome(self, room: str, inviter: str) -> bool:
        settings = self._settings
        if self.objection(room):
            return False
        match settings.join:
            case "anyone":
                return True
            case "local":
                return inviter.partition(":")[2] == settings.server_name
            case "listed":
                return any(fnmatchcase(inviter, allowed) for allowed in settings.inviters)
            case "never":
                return False

    async def _do(self, errand: Errand) -> bool:
        """Try once; say whether the errand is over, done or impossible."""
        answer: Answer | None = None
        try:
            with trio.move_on_after(_CALL_SECONDS):
                answer = await self._call(errand)
        except HttpClientError:
            return False
        return answer is not None and answer.status != 429 and answer.status != 401 and answer.status < 500

    async def _call(self, errand: Errand) -> Answer:
        path = room_path(errand.room)
        user = "" if errand.user == self._settings.bot else errand.user
        if errand.via:
            known_to = f"via={segment(errand.via)}&server_name={segment(errand.via)}"  # the older name of the same
            return await self._homeserver.call("POST", f"{CLIENT}/join/{segment(errand.room)}?{known_to}", {})
        if errand.what != "decline":
            return await self._homeserver.call("POST", f"{path}/{errand.what}", {}, user=user)
        txn = "declined-" + blake2b(errand.room.encode(), digest_size=12).hexdigest()
        content = {"msgtype": "m.notice", "body": self._settings.encrypted_notice}
        return await self._homeserver.send(errand.room, "m.room.message", txn, content, user=user)


def invitation(event: dict[str, Any]) -> str:
    """Return who is invited by this event, or ''."""
    if event.get("type") == "m.room.member" and table(event, "content").get("membership") == "invite":
        return text(event, "state_key")
    return ""


def is_farewell(event: dict[str, Any]) -> bool:
    """Tell whether an event says that its room was upgraded, and goes on in another one."""
    return event.get("type") == "m.room.tombstone" and event.get("state_key") == ""


def _key(errand: Errand) -> _Key:
    """A later invitation replaces the decision on an earlier one; the notice is a matter of its own."""
    return errand.room, errand.user, errand.what == "decline"
