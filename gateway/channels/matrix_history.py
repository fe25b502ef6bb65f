"""What stands in rooms: read back where a homeserver's memory is not enough.

Two things are forgotten by a Synapse that is killed (1.163): events that waited in its memory while an earlier
transaction was under way are never sent, and the transaction ids of application services, by which a send that is
repeated would be known, are kept in memory alone. The rooms themselves are whole: so after every doubt what was said
lately is read from them, and a reply whose outcome is unknown is looked for before it is sent again.
"""

from __future__ import annotations

from math import inf
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.channels.matrix_events import MESSAGES, table, text
from gateway.channels.matrix_homeserver import CLIENT, Answer, Homeserver, room_path
from protocols.errors import NothingSent

# Our own key in the content of what we send: the transaction id, which Matrix itself shows to nobody.
MARK = "oclaw.delivery"
_PAGE = 50
_PAGE_BYTES = 8 * 1024 * 1024
# So many events of a room, and so many rooms: a gap is seconds long, and each page costs the homeserver a query.
_MOST_EVENTS = 4 * _PAGE
_MOST_ROOMS = 1_000


class Unreadable(NothingSent):
    """The homeserver is there, and has an error of its own with what was asked for."""


class NotNow(NothingSent):
    """The homeserver is there, and does not let us ask at the moment: `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.words)
        self.answer = answer


class History:
    """Reads back the rooms of one account."""

    def __init__(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver

    async def rooms(self) -> list[str]:
        """Return the rooms we are in, as many as are read back. Raises `HttpClientError`."""
        answer = await self._homeserver.call("GET", f"{CLIENT}/joined_rooms", body_bytes=_PAGE_BYTES)
        rooms = _settled(answer).told.get("joined_rooms")
        return [str(room) for room in rooms[:_MOST_ROOMS]] if type(rooms) is list else []

    async def since(self, room: str, seconds: float) -> list[dict[str, Any]]:
        """Return what was said in a room in the last `seconds`, in order. Raises `HttpClientError`, `Unreadable` too.

        They are counted by the homeserver's clock, which stamps the events; ours may go otherwise.
        Nothing where that is more than is read back: the end of it would be heard before the beginning, which the
        homeserver sends. So much is said while we are away; and then it keeps all of it on its disk.
        """
        found: list[dict[str, Any]] = []
        moment, start = inf, ""
        for _ in range(_MOST_EVENTS // _PAGE + 1):  # the last page tells whether there is more
            chunk, start, now = await self._page(room, {"types": sorted(MESSAGES)}, start)
            moment = min(moment, now - seconds)
            fresh = [event for event in chunk if _at(event) >= moment]
            found += fresh
            if len(found) > _MOST_EVENTS:
                break
            if len(fresh) < len(chunk) or not chunk or not start:
                return found[::-1]
        return []

    async def find(self, room: str, sender: str, txn: str) -> dict[str, Any] | None:
        """Return the event of ours that was sent under this transaction id lately. Raises `HttpClientError`."""
        chunk, _, _ = await self._page(room, {"types": ["m.room.message"], "senders": [sender]}, "")
        return next((event for event in chunk if table(event, "content").get(MARK) == txn), None)

    async def _page(self, room: str, filter: dict[str, Any], start: str) -> tuple[list[dict[str, Any]], str, float]:
        """Return a page, newest first, where the next one starts, and when this was by the homeserver's clock."""
        wanted = {"dir": "b", "limit": str(_PAGE), "filter": msgspec.json.encode(filter).decode()}
        query = urlencode(wanted | ({"from": start} if start else {}))
        answer = await self._homeserver.call("GET", f"{room_path(room)}/messages?{query}", body_bytes=_PAGE_BYTES)
        chunk = _settled(answer).told.get("chunk")
        events = [event for event in chunk if type(event) is dict] if type(chunk) is list else []
        return [event | {"room_id": room} for event in events], text(answer.told, "end"), answer.at


def _settled(answer: Answer) -> Answer:
    """Return an answer that says something; a room that we are not in has nothing for us."""
    if answer.status >= 500 and answer.code:
        raise Unreadable(answer.words)
    if answer.status in (401, 429):
        raise NotNow(answer)
    if answer.status >= 500:
        raise NothingSent(answer.words)
    return answer


def _at(event: dict[str, Any]) -> float:
    at = event.get("origin_server_ts")
    return at / 1000 if type(at) is int else 0.0
