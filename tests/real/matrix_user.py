"""A person on a real homeserver, driven through plain calls of the client API."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import quote

import trio

from protocols.errors import HttpClientError
from protocols.http_client.client import HttpClient

_numbers = count(1)


class User:
    """Logged in; `timeline` is everything that was said in all rooms, by syncing."""

    def __init__(self, url: str, http: HttpClient) -> None:
        self._url, self._http = url, http
        self.id, self._token = "", ""
        self._since = ""
        self._rooms: set[str] = set()
        self.timeline: list[dict[str, Any]] = []
        self.typing: list[tuple[str, list[str]]] = []

    async def register(self, name: str) -> None:
        """Make an account."""
        body = {"username": name, "password": "x", "auth": {"type": "m.login.dummy"}}
        told = await self.call("POST", "/_matrix/client/v3/register", body)
        self.id, self._token = told["user_id"], told["access_token"]

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call until there is a good answer; the server may be away meanwhile, and every call here may be repeated."""
        while True:
            try:
                with trio.fail_after(20):
                    answer = await self._http.request(
                        method, self._url + path, headers=self._headers(), body=_body(body)
                    )
            except (HttpClientError, trio.TooSlowError):
                await trio.sleep(0.1)
                continue
            if answer.status < 500 and answer.status != 429:
                assert answer.status == 200, (method, path, answer.status, answer.body)
                return json.loads(answer.body)
            await trio.sleep(0.1)

    async def room(self, *invited: str, direct: bool = True, **fields: Any) -> str:
        """Create a room and invite."""
        wanted = {"invite": list(invited), "is_direct": direct, "preset": "private_chat"} | fields
        room: str = (await self.call("POST", "/_matrix/client/v3/createRoom", wanted))["room_id"]
        return room

    async def joined(self, room: str, user: str) -> None:
        """Return when `user` is a member."""
        while user not in (await self.call("GET", f"/_matrix/client/v3/rooms/{quote(room)}/joined_members"))["joined"]:
            await trio.sleep(0.05)

    async def say(self, room: str, text: str, **content: Any) -> str:
        """Send a message; the same one once, whatever happens."""
        return await self.send(room, "m.room.message", {"msgtype": "m.text", "body": text} | content)

    async def send(self, room: str, kind: str, content: dict[str, Any]) -> str:
        """Send an event."""
        path = f"/_matrix/client/v3/rooms/{quote(room)}/send/{kind}/t{next(_numbers)}"
        event: str = (await self.call("PUT", path, content))["event_id"]
        return event

    async def redact(self, room: str, event: str) -> None:
        """Take back an event."""
        path = f"/_matrix/client/v3/rooms/{quote(room)}/redact/{quote(event)}/t{next(_numbers)}"
        await self.call("PUT", path, {})

    async def upload(self, content: bytes, mime: str, name: str) -> str:
        """Store a file with the homeserver."""
        headers = (("Authorization", f"Bearer {self._token}"), ("Content-Type", mime))
        url = f"{self._url}/_matrix/media/v3/upload?filename={name}"
        answer = await self._http.request("POST", url, headers=headers, body=content)
        uri: str = json.loads(answer.body)["content_uri"]
        return uri

    async def download(self, uri: str) -> bytes:
        """Fetch a file."""
        path = f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}"
        answer = await self._http.request("GET", self._url + path, headers=self._headers())
        assert answer.status == 200, answer.body
        return bytes(answer.body)

    async def sync(self) -> None:
        """Take what is new into the timeline; waits up to a second for something."""
        filter = quote(json.dumps({"room": {"timeline": {"limit": 1000}}}))
        since = f"&since={self._since}" if self._since else ""
        told = await self.call("GET", f"/_matrix/client/v3/sync?timeout=1000&filter={filter}{since}")
        for room, joined in told.get("rooms", {}).get("join", {}).items():
            assert not joined["timeline"]["limited"] or room not in self._rooms, "the test's own view has a gap"
            self._rooms.add(room)
            self.timeline += [event | {"room_id": room} for event in joined["timeline"]["events"]]
            for event in joined["ephemeral"]["events"]:
                if event["type"] == "m.typing":
                    self.typing.append((room, event["content"]["user_ids"]))
        self._since = told["next_batch"]

    async def sees(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first event of the timeline that fits, as soon as it is there."""
        while True:
            for event in self.timeline:
                if wanted(event):
                    return event
            await self.sync()

    def said_by(self, user: str, room: str) -> list[str]:
        """Return the texts of a user's messages in a room, in order; edits apart."""
        return [
            event["content"].get("body", "")
            for event in self.timeline
            if event["type"] == "m.room.message" and event["sender"] == user and event["room_id"] == room
            and event["content"].get("m.relates_to", {}).get("rel_type") != "m.replace"
        ]  # fmt: skip

    def _headers(self) -> tuple[tuple[str, str], ...]:
        json_type = (("Content-Type", "application/json"),)
        return (*json_type, ("Authorization", f"Bearer {self._token}")) if self._token else json_type


def _body(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body).encode()
