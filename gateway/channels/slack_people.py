"""Where a person is spoken to: the direct conversation that Slack keeps for their id.

A message goes to the id itself (U…, W…) as well; a file, an edit and a look into the history do not, they want the
conversation (D…). So it is opened before anything else, which shows nobody anything, and is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from msgspec.structs import replace

from gateway.channels.shared.pace import Pace, Rate
from gateway.channels.slack_api import CREDENTIALS, NotAnswered, WebApi, receipt_for
from gateway.channels.slack_fields import table, text
from gateway.message.envelope import Delivery
from gateway.message.receipt import Deferred, Receipt, Unknown

# Some 300 KB.
_KEPT = 2048


class People:
    """The direct conversations of one account. `refused` is called with Slack's word when it refuses the token."""

    def __init__(self, api: WebApi, refused: Callable[[str], None]) -> None:
        self._api, self._refused = api, refused
        self._known: OrderedDict[str, str] = OrderedDict()
        # Slack answers fifty such questions a minute.
        self._pace = Pace(all=Rate(1.2, 20))

    async def placed(self, delivery: Delivery) -> Delivery | Receipt:
        """Return the delivery with the conversation in the place of a person's id; a `Receipt` when it must wait.

        Where Slack does not open it (the app lacks im:write), the id stays: a message still gets there.
        """
        place = delivery.message.conversation
        if not is_person(place.id):
            return delivery
        opened = self._known.get(place.id) or await self._open(place.id)
        if not isinstance(opened, str):
            return opened
        return replace(delivery, message=replace(delivery.message, conversation=replace(place, id=opened)))

    async def _open(self, person: str) -> str | Receipt:
        if (later := await self._pace.turn()) is not None:
            return later
        try:
            said = await self._api.call("conversations.open", {"users": person})
        except NotAnswered as unheard:
            return self._put_off(unheard.receipt)
        if said.ok:
            return self._remember(person, text(table(said.document, "channel"), "id") or person)
        if said.error in CREDENTIALS:
            self._refused(said.error)
        receipt = receipt_for(said)
        return self._put_off(receipt) if isinstance(receipt, Deferred | Unknown) else person

    def _put_off(self, receipt: Receipt) -> Receipt:
        """Nobody sees that a conversation was opened: no doubt is left by it."""
        if isinstance(receipt, Unknown):
            return Deferred(receipt.why)
        if isinstance(receipt, Deferred) and receipt.after_seconds and not receipt.offline:
            self._pace.hold(receipt.after_seconds)
        return receipt

    def _remember(self, person: str, conversation: str) -> str:
        self._known[person] = conversation
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return conversation


def is_person(conversation_id: str) -> bool:
    """Tell whether this is a person's id in the place of a conversation's."""
    return conversation_id.startswith(("U", "W"))
