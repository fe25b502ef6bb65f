"""What was said in a conversation before, as the turns a model is shown. Read from the journal."""

from __future__ import annotations

from gateway.errors import SealError
from gateway.flow.rows import delivery_in, envelope_in
from gateway.message.message import Message
from gateway.message.seal import Sealer
from gateway.ports import Journal, Turn


class History:
    """The last finished exchanges of a conversation. A lane is free only after its commit, so none is missed."""

    def __init__(self, journal: Journal, sealer: Sealer) -> None:
        self._journal, self._sealer = journal, sealer

    async def turns(self, message: Message, limit: int) -> tuple[Turn, ...]:
        """Return up to `limit` exchanges, oldest first; what cannot be opened any more is left out."""
        if limit <= 0:
            return ()
        lane = self._sealer.lasting_digest(
            "lane", message.channel, message.conversation.id, message.conversation.thread
        )
        shown: list[Turn] = []
        for row, deliveries in await self._journal.turns(lane, limit=limit):
            try:
                said = envelope_in(self._sealer, row).message.content
                replies = [delivery_in(self._sealer, reply).message.content for reply in deliveries]
            except SealError:
                continue
            if said:
                shown.append(Turn("user", said))
            shown += [Turn("assistant", text) for text in replies if text]
        return tuple(shown)
