"""Who must not be answered: ourselves, other programs, and the echo of what we just said.

By id, never by name: names can be taken. Two gateways that answer each other would fill a room
within seconds, so programs are not answered unless the operator says so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from gateway.message.message import Message

# Echoes come back within seconds; this many sent messages are more than a platform lets us send in a minute.
_KEPT = 2048


class LoopGuard:
    """Decides for one account. `own_ids` are the account's ids on the platform (bot, user, app)."""

    def __init__(self, own_ids: Iterable[str] = (), *, answer_bots: bool = False) -> None:
        self.own_ids = {own for own in own_ids if own}
        self._answer_bots = answer_bots
        self._sent: OrderedDict[str, None] = OrderedDict()

    def sent(self, remote_id: str) -> None:
        """Remember the platform's id of a message of ours."""
        if remote_id:
            self._sent[remote_id] = None
            if len(self._sent) > _KEPT:
                self._sent.popitem(last=False)

    def objection(self, message: Message) -> str:
        """Return why a message is not taken (`own`, `echo` or `bot`: words for counting), or ''."""
        if message.sender.id in self.own_ids:
            return "own"
        if message.id and message.action == "new" and message.id in self._sent:
            return "echo"
        if message.sender.is_bot and not self._answer_bots:
            return "bot"
        return ""
