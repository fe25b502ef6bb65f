"""What became of a message: for an endpoint that waits for it, and for one that asks later.

The journal is the truth; waiting only saves asking it again and again.
"""

from __future__ import annotations

import trio

from gateway.flow.rows import delivery_in, story_in
from gateway.flow.story import Story
from gateway.flow.walk import Ending
from gateway.message.envelope import Envelope
from gateway.message.lifecycle import InboundState
from gateway.message.seal import Sealer
from gateway.ports import Journal, Result
from gateway.records import InboundRow


class JournalResults:
    """Implements `ports.Results` over the journal. `ended` is called by the hand-over, after its commit."""

    def __init__(self, journal: Journal, sealer: Sealer) -> None:
        self._journal, self._sealer = journal, sealer
        self._waiting: dict[str, trio.Event] = {}

    def ended(self, envelope: Envelope, _ending: Ending) -> None:
        """Wake whoever waits for this message."""
        event = self._waiting.pop(envelope.id, None)
        if event is not None:
            event.set()

    async def find(self, envelope_id: str) -> Result | None:
        """Read the result as it stands; None for an id that is unknown or past retention."""
        row = await self._journal.message(envelope_id)
        return None if row is None else await self._result(row)

    async def wait(self, envelope_id: str) -> Result | None:
        """Return when the message's walk has ended, at once when it already has; None as `find` does."""
        event = self._waiting.setdefault(envelope_id, trio.Event())
        row = await self._journal.message(envelope_id)
        if row is not None and row.state is InboundState.ACCEPTED:
            await event.wait()
            row = await self._journal.message(envelope_id)
        else:
            self._waiting.pop(envelope_id, None)
            event.set()  # somebody else may have registered beside us
        return None if row is None else await self._result(row)

    async def _result(self, row: InboundRow) -> Result:
        replies = []
        for delivery in await self._journal.deliveries_of(row.id):
            opened = delivery_in(self._sealer, delivery)
            replies.append(opened.message)
        story = story_in(self._sealer, row) or Story()
        return Result(
            envelope_id=row.id,
            state=row.state,
            channel=row.channel,
            why=story.why,
            tell=story.tell,
            replies=tuple(replies),
        )
