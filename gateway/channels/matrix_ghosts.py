"""Users of ours besides the bot: made when the homeserver asks or when one is to speak, and brought into the room.

A ghost is tried as if it were there; only when the homeserver refuses is it registered, invited by the bot and
joined, so that the usual reply costs one call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.channels.matrix_homeserver import CLIENT, Answer, Homeserver, room_path


class Ghosts:
    """The user namespace of one account; the bot belongs to it without being a ghost."""

    def __init__(self, expressions: Iterable[str], bot: str, homeserver: Homeserver) -> None:
        self._expressions = [re.compile(expression) for expression in expressions]
        self._bot, self._homeserver = bot, homeserver

    def is_own(self, user: str) -> bool:
        """Tell our users from other people."""
        return user == self._bot or self.is_ghost(user)

    def is_ghost(self, user: str) -> bool:
        """Tell whether a user id is in the namespace."""
        return any(expression.fullmatch(user) for expression in self._expressions)

    async def register(self, user: str) -> Answer:
        """Make an account for one of ours; it is good when it was there already. Raises `HttpClientError`."""
        wanted = {"type": "m.login.application_service", "username": user[1:].partition(":")[0], "inhibit_login": True}
        answer = await self._homeserver.call("POST", f"{CLIENT}/register", wanted)
        return Answer(200, {}) if answer.code == "M_USER_IN_USE" else answer

    async def enter(self, user: str, room: str) -> Answer:
        """Register a ghost, have the bot invite it and let it join; the first refusal is returned."""
        registered = await self.register(user)
        if not registered.ok:
            return registered
        path = room_path(room)
        invited = await self._homeserver.call("POST", f"{path}/invite", {"user_id": user})
        if not invited.ok and invited.status != 403:  # 403 also says that it is there already
            return invited
        return await self._homeserver.call("POST", f"{path}/join", {}, user=user)
