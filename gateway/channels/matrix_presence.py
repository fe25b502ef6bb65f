"""Whether the homeserver is there and knows us: asked at the start, again now and then, and when a call fails.

The homeserver keeps transactions for us while we are away and comes back after growing pauses, of minutes in the end. A
ping makes it try us, and then deliver at once what it kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from gateway.channels.matrix_ghosts import Ghosts
from gateway.channels.matrix_homeserver import CLIENT, Answer, Homeserver, ping_path, segment
from gateway.channels.matrix_settings import Settings
from gateway.channels.shared.errors import ConnectionLost
from gateway.channels.shared.reconnect import Link
from gateway.errors import SettingError
from gateway.ports import Inlet
from protocols.errors import HttpClientError

# An idle homeserver is asked as often as a person would notice that the bot is silent.
_EVERY_SECONDS = 30.0
_ANSWER_SECONDS = 15.0
# Synapse itself waits a minute for our answer to its ping.
_PING_SECONDS = 75.0
# What a homeserver says that tried us in vain (specification 1.7); one that knows no ping says something else.
_IN_VAIN = frozenset(("M_BAD_STATUS", "M_CONNECTION_FAILED", "M_CONNECTION_TIMEOUT", "M_URL_NOT_SET"))


CaughtUp = Callable[[Inlet], Awaitable[None]]
"""Takes what was missed, if there is a doubt."""


class Presence:
    """One account's standing. `away` says that a session was lost and none is up again."""

    def __init__(
        self, name: str, settings: Settings, homeserver: Homeserver, ghosts: Ghosts, caught_up: CaughtUp
    ) -> None:
        self._name, self._settings, self._caught_up = name, settings, caught_up
        self._homeserver, self._ghosts = homeserver, ghosts
        self.away = False
        self._inlet: Inlet | None = None
        self._doubt = trio.Event()

    async def hold(self, inlet: Inlet, link: Link) -> None:
        """Be one session for `keep_connected`: raises `ConnectionLost` when the homeserver is away."""
        self._inlet = inlet
        try:
            await self._introduce()
            self.away = False
            link.up(f"as {self._settings.bot}")
            self._doubted()
            await self._caught_up(inlet)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ping, inlet)
                await self._watch()
        finally:
            self.away = True

    def doubt(self) -> None:
        """A call got no answer: look at once."""
        self._doubt.set()

    def heard(self) -> None:
        """The homeserver called: it is there, whatever we believed."""
        if self.away and self._inlet is not None:
            self.away = False
            self._inlet.wake()

    def _doubted(self) -> None:
        self._doubt = trio.Event()

    async def _introduce(self) -> None:
        known = await self._asked("GET", f"{CLIENT}/account/whoami")
        if known.status in (401, 403) and known.code:
            raise SettingError(
                f"channels.{self._name}.as_token",
                found=f"{self._settings.as_token.source}, which the homeserver does not know ({known.code})",
                wanted="the as_token of the registration file, with which the homeserver was restarted",
            )
        if not known.ok:
            raise ConnectionLost(known.words, after_seconds=known.after_seconds or 0.0)
        await self._ghosts.register(self._settings.bot)
        if self._settings.display_name:
            path = f"{CLIENT}/profile/{segment(self._settings.bot)}/displayname"
            await self._asked("PUT", path, {"displayname": self._settings.display_name})

    async def _ping(self, inlet: Inlet) -> None:
        """Have the homeserver try us until it reaches us; meanwhile status says that it does not."""
        told, pause = "", 1.0
        while True:
            try:
                answer = await self._asked(
                    "POST", ping_path(self._settings), {"transaction_id": "start"}, _PING_SECONDS
                )
            except (ConnectionLost, HttpClientError):
                self._doubt.set()
                return
            words = f"; but it does not reach this gateway: {answer.words}" if answer.code in _IN_VAIN else ""
            if words != told:
                inlet.connected("connected", f"as {self._settings.bot}{words}")
            if not words:
                return
            told = words
            await trio.sleep(pause)
            pause = min(pause * 2, _EVERY_SECONDS)

    async def _watch(self) -> None:
        while True:
            with trio.move_on_after(_EVERY_SECONDS):
                await self._doubt.wait()
            self._doubted()
            answer = await self._asked("GET", "/_matrix/client/versions")
            if not answer.ok:
                raise ConnectionLost(answer.words, after_seconds=answer.after_seconds or 0.0)
            if self._inlet is not None:
                await self._caught_up(self._inlet)

    async def _asked(self, method: str, path: str, body: Any = None, seconds: float = _ANSWER_SECONDS) -> Answer:
        try:
            with trio.fail_after(seconds):
                return await self._homeserver.call(method, path, body)
        except trio.TooSlowError as error:
            raise ConnectionLost(f"the homeserver did not answer within {seconds:g} s") from error
