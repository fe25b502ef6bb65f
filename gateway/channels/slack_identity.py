"""Who are we in this workspace? Asked until Slack says so; and the end of the channel when its token is refused."""

from __future__ import annotations

import random

import trio

from gateway.channels.shared.backoff import Backoff, pause
from gateway.channels.slack_api import CREDENTIALS, NotAnswered, WebApi
from gateway.channels.slack_entrance import Entrance
from gateway.channels.slack_fields import text
from gateway.errors import SettingError
from gateway.ports import Inlet


class Identity:
    """Tells the entrance who we are, and sets `known` then. `place` names the bot token's setting for errors."""

    def __init__(self, api: WebApi, entrance: Entrance, *, place: str) -> None:
        self._api, self._entrance, self._place = api, entrance, place
        self._refusal, self._word = trio.Event(), ""
        self.known = trio.Event()

    async def learn(self, inlet: Inlet | None) -> None:
        """Ask until Slack answers. `inlet` is told of it where nothing else knows how the connection stands."""
        failures, backoff = 0, Backoff()
        while why := await self._ask():
            failures += 1
            seconds = pause(backoff, failures, random.random())
            if inlet is not None:
                inlet.connected("disconnected", f"{why}; trying again in {seconds:.0f} s")
            await trio.sleep(seconds)
        if inlet is not None:
            inlet.connected("ready", self._entrance.account.shown_as)
            inlet.wake()

    def refused(self, word: str) -> None:
        """Slack does not take the token: a person must act."""
        self._word = word
        self._refusal.set()

    async def fail_when_refused(self) -> None:
        """Raise `SettingError` once the token was refused."""
        await self._refusal.wait()
        wanted = "the bot token (xoxb-…) of an app that is installed in the workspace"
        raise SettingError(self._place, found=f"refused by Slack ({self._word})", wanted=wanted)

    async def _ask(self) -> str:
        """Return '' when it is known now, else why not."""
        try:
            said = await self._api.call("auth.test", {}, form=True)
        except NotAnswered as unheard:
            return str(unheard)
        if said.ok:
            user, bot = text(said.document, "user_id"), text(said.document, "bot_id")
            self._entrance.known(user=user, bot=bot, shown_as=text(said.document, "user"))
            self.known.set()
            return ""
        if said.error in CREDENTIALS:
            self.refused(said.error)
        return f"Slack answered {said.error}"
