"""What is known of rooms: direct or group, title, names of members, threads, and which events are ours.

Asked of the homeserver when a room is first heard of, kept up to date by the events that pass, and forgotten
when it has been silent for longest. Nothing here has to survive a restart: it can be asked again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from gateway.channels.matrix_events import table, text
from gateway.channels.matrix_homeserver import Answer, Homeserver, room_path
from gateway.channels.shared.together import few_at_once
from gateway.message.message import ConversationKind, nfc
from protocols.errors import AnswerTooLarge, HttpClientError, NothingSent

# A room costs about 1 KB with ten members; so many are more than one account follows.
_MOST_ROOMS = 5_000
# Names of larger rooms are not kept: their members are shown by user id.
_MOST_NAMES = 100
# What people can still tell apart; servers elsewhere allow 60 KB, which a hundred members would bear.
_LONGEST_NAME = 256
# Edits and reactions are about what was said lately.
_MOST_EVENTS = 10_000
# After a night, a transaction may be of a hundred rooms that are new to us; three questions each.
_ROOMS_AT_ONCE = 8

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A table of bounded size that forgets what was not used for longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return what is kept under `key`, which is thereby used."""
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget a value."""
        self._kept.pop(key, None)


class Room(Struct):
    """`members` are other people's ids with their names; `crowded` says that there are more than are kept."""

    title: str = ""
    encrypted: bool = False
    crowded: bool = False
    members: dict[str, str] = {}

    @property
    def kind(self) -> ConversationKind:
        """One other person makes a direct conversation."""
        return "group" if self.crowded or len(self.members) > 1 else "direct"


class Rooms:
    """The rooms of one account. `is_own` tells our bot and ghosts from people."""

    def __init__(self, homeserver: Homeserver, is_own: Callable[[str], bool]) -> None:
        self._homeserver, self._is_own = homeserver, is_own
        self._rooms: Recent[str, Room] = Recent(_MOST_ROOMS)
        self._threads: Recent[str, str] = Recent(_MOST_EVENTS)
        self._ours: Recent[str, str] = Recent(_MOST_EVENTS)

    def known(self, room: str) -> bool:
        """Tell whether a room's facts are here."""
        return self._rooms.get(room) is not None

    def kind(self, room: str) -> ConversationKind:
        """Return whether a room is direct; one of which nothing is known counts as a group."""
        known = self._rooms.get(room)
        return known.kind if known else "group"

    def title(self, room: str) -> str:
        """Return the room's name, or ''."""
        known = self._rooms.get(room)
        return known.title if known else ""

    def encrypted(self, room: str) -> bool:
        """Tell whether a room is known to be encrypted."""
        known = self._rooms.get(room)
        return known is not None and known.encrypted

    def name_of(self, room: str, user: str) -> str:
        """Return a member's display name, else the local part of the id."""
        known = self._rooms.get(room)
        return (known.members.get(user) if known else "") or user[1:].partition(":")[0]

    def thread_of(self, event_id: str) -> str:
        """Return the thread in which an event was seen lately, or ''."""
        return self._threads.get(event_id) or ""

    def is_ours(self, event_id: str) -> bool:
        """Tell whether we sent an event lately."""
        return self._ours.get(event_id) is not None

    def sent(self, event_id: str, thread: str = "") -> None:
        """Remember an event of ours."""
        self._ours.put(event_id, event_id)
        if thread:
            self._threads.put(event_id, thread)

    def heard(self, event_id: str, thread: str) -> None:
        """Remember in which thread somebody said something."""
        self._threads.put(event_id, thread)

    async def learn(self, room: str) -> None:
        """Ask for a room's members, name and encryption. Raises `NothingSent` or `UnknownAfterSend`."""
        found = Room()
        for ask in (self._members, self._title, self._encryption):
            await ask(room, found)
        self._rooms.put(room, found)

    async def learn_all(self, rooms: Iterable[str]) -> None:
        """Ask for several rooms, each of which is tried whatever becomes of the others. Raises as `learn` does."""
        failures: list[HttpClientError] = []

        async def one(room: str) -> None:
            try:
                await self.learn(room)
            except HttpClientError as error:
                failures.append(error)

        await few_at_once(one, rooms, at_once=_ROOMS_AT_ONCE)
        if failures:
            raise failures[0]

    def doubt(self, event: dict[str, Any]) -> None:
        """Forget a room that one of ours came into or left: what happened while we were out is not known."""
        if event.get("type") == "m.room.member" and self._is_own(text(event, "state_key")):
            self._rooms.drop(text(event, "room_id"))

    def apply(self, event: dict[str, Any]) -> None:
        """Follow a state event of a room that is known."""
        room = self._rooms.get(text(event, "room_id"))
        if room is None or "state_key" not in event:
            return
        content = table(event, "content")
        match event.get("type"):
            case "m.room.member" if not self._is_own(text(event, "state_key")):
                self._member(room, text(event, "state_key"), content)
            case "m.room.name":
                room.title = _name(content, "name")
            case "m.room.encryption":
                room.encrypted = True

    def _member(self, room: Room, user: str, content: dict[str, Any]) -> None:
        if content.get("membership") == "join":
            if len(room.members) < _MOST_NAMES or user in room.members:
                room.members[user] = _name(content, "displayname")
            else:
                room.crowded = True
        else:
            room.members.pop(user, None)

    async def _members(self, room: str, found: Room) -> None:
        try:
            answer = await self._homeserver.call("GET", f"{room_path(room)}/joined_members")
        except AnswerTooLarge:
            found.crowded = True
            return
        joined = table(answer.told, "joined") if _settled(answer) else {}
        found.crowded = not answer.ok or len(joined) > _MOST_NAMES
        for user in list(joined)[:_MOST_NAMES]:
            if not self._is_own(user):
                found.members[user] = _name(table(joined, user), "display_name")

    async def _title(self, room: str, found: Room) -> None:
        answer = await self._homeserver.call("GET", f"{room_path(room)}/state/m.room.name/")
        found.title = _name(answer.told, "name") if _settled(answer) else ""

    async def _encryption(self, room: str, found: Room) -> None:
        answer = await self._homeserver.call("GET", f"{room_path(room)}/state/m.room.encryption/")
        found.encrypted = answer.ok if _settled(answer) else False


def _name(table: dict[str, Any], key: str) -> str:
    return nfc(text(table, key)[:_LONGEST_NAME])


def _settled(answer: Answer) -> bool:
    """Tell whether an answer says something about the room; a room that we are not in says 403 or 404 for good."""
    if answer.status == 429 or answer.status >= 500:
        raise NothingSent(answer.words)
    return answer.ok
