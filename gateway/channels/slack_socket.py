"""Socket Mode: one connection that Slack pushes envelopes through, from asking for its address to its end.

Every envelope is acknowledged by its id, after the commit of what it holds and not before. When Slack announces that
it will close the connection, a second one is opened first; both are read until the old one ends, and the journal takes
an envelope that comes through both once. The pauses between connections are the shared engine's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio
from msgspec import Struct

from gateway.channels.shared.errors import ConnectionLost
from gateway.channels.shared.reconnect import Link
from gateway.channels.slack_api import CREDENTIALS, NotAnswered, WebApi
from gateway.channels.slack_fields import text
from gateway.errors import SettingError
from gateway.message.receipt import Deferred
from protocols.errors import HandshakeRefused, WebSocketClosed
from protocols.websocket.client import open_websocket
from protocols.websocket.connection import WebSocketConnection
from protocols.websocket.keepalive import keep_alive

Take = Callable[[dict[str, Any]], Callable[[], Awaitable[bool]]]
"""Given an envelope, takes its place in the order at once; what it returns commits it and says whether to ack."""

# Slack says hello within milliseconds.
_HELLO_SECONDS = 10.0
# Commits under way at once, of all connections; what comes meanwhile waits for its turn.
_MOST_UNCOMMITTED = 64
# What may wait so: some minutes of the 30,000 events an hour that Slack sends at the most, 3 KB each. Reading goes on
# all the same, for a connection that is not read is given up by both sides; what does not fit is left unacknowledged.
_MOST_WAITING_BYTES = 4 * 1024 * 1024
# Ten connections an app; the eleventh waits until one has gone.
_TOO_MANY_SECONDS = 30.0


class _Heard(Struct, frozen=True):
    """An envelope that waits for its turn, and the connection that wants to know of its commit."""

    frame: dict[str, Any]
    length: int
    connection: WebSocketConnection


class SocketMode:
    """Makes sessions for `keep_connected`. `place` names the app token's setting for errors.

    `left` is called for each envelope that is not taken because too many wait: Slack says an event again. `gap` is
    called when a connection stands before which there was none, nor one of another program of this app.
    """

    def __init__(
        self,
        api: WebApi,
        take: Take,
        *,
        place: str,
        ping_seconds: float,
        left: Callable[[], None] = lambda: None,
        gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._api, self._take, self._place, self._ping_seconds = api, take, place, ping_seconds
        self._left, self._gap = left, gap
        self._standing = 0
        self._heard: deque[_Heard] = deque()
        self._waiting_bytes = 0
        self._under_way = 0

    @property
    def stands(self) -> bool:
        """There is a connection; two while one relieves the other."""
        return self._standing > 0

    async def session(self, link: Link, commits: trio.Nursery) -> None:
        """Hold one connection until it ends. Raises `ConnectionLost`, or `SettingError` when a person must act.

        What it heard is committed in `commits`, also when the connection is gone: Slack says a command only once.
        """
        url = await self.address()
        try:
            async with open_websocket(url) as connection, trio.open_nursery() as nursery:
                alone = False
                with trio.move_on_after(_HELLO_SECONDS) as patience:
                    alone = await _is_alone(connection)
                if patience.cancelled_caught:
                    raise ConnectionLost("Slack did not say hello")
                nursery.start_soon(_watch, connection, self._ping_seconds)
                if alone and not self._standing:
                    self._gap()
                self._standing += 1
                try:
                    link.up("Socket Mode")
                    self._begin(commits)
                    await self._read(connection, link, commits)
                finally:
                    self._standing -= 1
        except HandshakeRefused as refused:
            # An address opens once; the next session asks for a new one.
            raise ConnectionLost(f"Slack's socket refused the connection: {refused}") from refused

    async def address(self) -> str:
        """Ask for the address of one connection. Raises `ConnectionLost` or `SettingError`."""
        try:
            said = await self._api.call("apps.connections.open", {}, form=True)
        except NotAnswered as unheard:
            after = 0.0
            if isinstance(unheard.receipt, Deferred) and not unheard.receipt.offline:
                after = unheard.receipt.after_seconds or 0.0
            raise ConnectionLost(str(unheard), after_seconds=after) from unheard
        if said.ok and text(said.document, "url"):
            return text(said.document, "url")
        if said.error in CREDENTIALS or said.error in ("missing_scope", "forbidden_for_interactive_apps"):
            wanted = "an app-level token (xapp-…) with the scope connections:write, of an app with Socket Mode on"
            raise SettingError(self._place, found=f"refused by Slack ({said.error})", wanted=wanted)
        raise ConnectionLost(f"Slack gives no connection: {said.error}", after_seconds=said.after_seconds or 0.0)

    async def _read(self, connection: WebSocketConnection, link: Link, commits: trio.Nursery) -> None:
        while True:
            received = await connection.receive()
            frame = _frame(received)
            match text(frame, "type"):
                case "disconnect":
                    self._leave(text(frame, "reason"), link)
                case "hello":
                    pass
                case _ if text(frame, "envelope_id"):
                    self._hear(_Heard(frame, len(received), connection), commits)

    def _hear(self, heard: _Heard, commits: trio.Nursery) -> None:
        if self._waiting_bytes + heard.length > _MOST_WAITING_BYTES:
            self._left()
            return
        self._waiting_bytes += heard.length
        self._heard.append(heard)
        self._begin(commits)

    def _begin(self, commits: trio.Nursery) -> None:
        """Start the commits that there is room for."""
        while self._heard and self._under_way < _MOST_UNCOMMITTED:
            heard = self._heard.popleft()
            self._waiting_bytes -= heard.length
            self._under_way += 1
            # The place in the order is taken here, in the order of arrival; tasks start in any.
            commits.start_soon(self._commit, heard, self._take(heard.frame), commits)

    async def _commit(self, heard: _Heard, commit: Callable[[], Awaitable[bool]], commits: trio.Nursery) -> None:
        try:
            if await commit():
                acknowledged = msgspec.json.encode({"envelope_id": text(heard.frame, "envelope_id")})
                await heard.connection.send(acknowledged.decode())
        except WebSocketClosed:
            # Not acknowledged, so Slack sends it again; the journal knows it.
            pass
        finally:
            self._under_way -= 1
        self._begin(commits)

    def _leave(self, reason: str, link: Link) -> None:
        match reason:
            case "link_disabled":
                wanted = "Socket Mode switched on in the app's settings"
                raise SettingError(self._place, found="of an app whose Socket Mode was switched off", wanted=wanted)
            case "too_many_websockets":
                raise ConnectionLost("the app has too many connections", after_seconds=_TOO_MANY_SECONDS)
            case _:
                link.relieve()


async def _is_alone(connection: WebSocketConnection) -> bool:
    """Wait for Slack's hello; tells whether this is the app's only connection: what others get is not ours."""
    frame = _frame(await connection.receive())
    if text(frame, "type") == "disconnect":
        raise ConnectionLost(f"Slack sent the connection away: {text(frame, 'reason')}", after_seconds=1.0)
    if text(frame, "type") != "hello":
        raise ConnectionLost("Slack's first word was no hello")
    return frame.get("num_connections") in (None, 1)


async def _watch(connection: WebSocketConnection, ping_seconds: float) -> None:
    await keep_alive(connection, every_seconds=ping_seconds)


def _frame(received: str | bytes) -> dict[str, Any]:
    try:
        frame = msgspec.json.decode(received)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, dict) else {}
