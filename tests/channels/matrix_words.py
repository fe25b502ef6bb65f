"""What a homeserver says, in a test's words; and a homeserver that answers from tables."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import trio

from gateway.channels.matrix_settings import Settings
from gateway.config.secret import Secret
from gateway.testing.channels import Answered, Sent, request
from protocols.http1.headers import Headers
from protocols.http1.messages import Fields, Request

ROOM = "!r:example.org"
ANNA = "@anna:example.org"
BOT = "@oclaw:example.org"
HS = "the-hs-token"
AS = "the-as-token"


def settings(**changes: Any) -> Settings:
    given = {
        "homeserver_url": "http://127.0.0.1:8008",
        "server_name": "example.org",
        "hs_token": Secret("env:HS", HS),
        "as_token": Secret("env:AS", AS),
    }
    return Settings(**(given | changes))


def event(type: str, content: dict[str, Any], id: str = "$1", sender: str = ANNA, **fields: Any) -> dict[str, Any]:
    given = {"type": type, "content": content, "event_id": id, "sender": sender, "room_id": ROOM}
    return given | {"origin_server_ts": 1_700_000_000_123} | fields


def said(id: str, text: str, sender: str = ANNA, **content: Any) -> dict[str, Any]:
    return event("m.room.message", {"msgtype": "m.text", "body": text} | content, id, sender)


def transaction(id: str, *events: Any, token: str = HS, **fields: Any) -> Request:
    body = json.dumps({"events": list(events)} | fields).encode()
    return call("PUT", f"/_matrix/app/v1/transactions/{id}", body=body, token=token)


def call(method: str, path: str, *, body: bytes = b"", token: str = HS) -> Request:
    return request(method, path, body=body, headers=(("Authorization", f"Bearer {token}"),))


class FakeHomeserver:
    """Answers the client API out of what the test put in; `sent` has what was asked, oldest first."""

    def __init__(self, members: dict[str, dict[str, str]] | None = None) -> None:
        self.members = members or {ROOM: {ANNA: "Anna", BOT: "oclaw"}}
        self.titles: dict[str, str] = {}
        self.knows_us = True
        self.encrypted: set[str] = set()
        self.unreadable: set[str] = set()
        self.sent: list[Sent] = []
        self.seconds = 0.0
        self.slow: set[str] = set()
        self.pings: list[tuple[int, dict[str, Any]]] = []
        self.will: list[tuple[int, dict[str, Any]] | Exception] = []
        self.events: dict[str, str] = {}
        self.contents: dict[str, Any] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        # What its clock shows, where it tells of it.
        self.now: float | None = None

    async def request(
        self, method: str, url: str, *, headers: Fields = (), body: bytes = b"", body_bytes: int | None = None
    ) -> Answered:
        await trio.sleep(3600.0 if any(room in unquote(url) for room in self.slow) else self.seconds)
        self.sent.append(Sent(method, url, {name.lower(): value for name, value in headers}, body))
        if self.will:
            answer = self.will.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return self._answered(*answer)
        if url.endswith("/ping") and self.pings:
            return self._answered(*self.pings.pop(0))
        path = unquote(url.partition("/_matrix/client/v3/")[2].partition("?")[0]).strip("/")
        return self._answered(*self._told(method, path, body))

    def _told(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        _, _, rest = path.partition("rooms/")
        room, _, what = rest.partition("/")
        match what:
            case "joined_members":
                joined = {user: {"display_name": name} for user, name in self.members.get(room, {}).items()}
                return 200, {"joined": joined}
            case "state/m.room.name":
                return (200, {"name": self.titles[room]}) if room in self.titles else (404, {"errcode": "M_NOT_FOUND"})
            case "state/m.room.encryption":
                return (200, {}) if room in self.encrypted else (404, {"errcode": "M_NOT_FOUND"})
            case "messages" if room in self.unreadable:
                return 500, {"errcode": "M_UNKNOWN", "error": "Internal server error"}
            case "messages":
                said = [{"event_id": event, "content": content} for event, content in self.contents.items()]
                return 200, {"chunk": [*reversed(self.history.get(room, [])), *reversed(said)]}
            case _ if path == "joined_rooms":
                return 200, {"joined_rooms": list(self.history)}
            case _ if method == "PUT" and what.startswith(("send/", "redact/")):
                event = self.events.setdefault(what, f"$sent{len(self.events) + 1}")
                self.contents.setdefault(event, json.loads(body))
                return 200, {"event_id": event}
            case _ if path == "account/whoami":
                return (200, {"user_id": BOT}) if self.knows_us else (401, {"errcode": "M_UNKNOWN_TOKEN"})
        return 200, {}

    def asked(self, part: str) -> list[Any]:
        """Return the bodies of the calls whose path has this in it."""
        return [json.loads(sent.body or b"{}") for sent in self.sent if part in unquote(sent.url)]

    def close(self) -> None:
        """Nothing is open."""

    def _answered(self, status: int, told: dict[str, Any]) -> Answered:
        date = () if self.now is None else (("Date", formatdate(self.now, usegmt=True)),)
        return Answered(status, Headers.of((("Content-Type", "application/json"), *date)), json.dumps(told).encode())
