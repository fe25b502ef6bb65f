"""Was this delivery posted before? Slack takes no idempotency key, but keeps what a post carries in its metadata.

Every post of ours carries the delivery's id. An attempt that may repeat an earlier one reads the conversation from the
moment the delivery was made, and looks for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.channels.shared.loops import LoopGuard
from gateway.channels.shared.pace import Pace
from gateway.channels.slack_api import NotAnswered, Said, WebApi, receipt_for
from gateway.channels.slack_fields import listed, table, text
from gateway.channels.slack_uploads import name_for
from gateway.message.envelope import Delivery
from gateway.message.message import Attachment, Message
from gateway.message.receipt import Bounced, Deferred, Receipt, Unknown

EVENT_TYPE = "oclaw_delivery"
# Some 300 KB.
_KEPT_FILES = 2048
# Slack's clock and ours may differ by this much.
_SKEW_SECONDS = 60.0
# A thousand messages in one conversation since the reply was made: further back nobody would read on.
_PAGE, _MOST_PAGES = 200, 5


class Found(Struct, frozen=True):
    """A message of ours that stands there."""

    ts: str
    said: str


class Lookup:
    """Reads conversations. `guard` knows which ids are ours, `pace` how often Slack answers such questions."""

    def __init__(self, api: WebApi, guard: LoopGuard, pace: Pace) -> None:
        self._api, self._guard, self._pace = api, guard, pace
        # Which delivery the files that this process has sent to Slack are of, by their ids there.
        self._shared: OrderedDict[str, str] = OrderedDict()

    def shares(self, delivery: Delivery, file_ids: Iterable[str]) -> None:
        """Note the files that a delivery is about to show."""
        for file_id in file_ids:
            self._shared[file_id] = delivery.id
            if len(self._shared) > _KEPT_FILES:
                self._shared.popitem(last=False)

    async def find(self, delivery: Delivery) -> Found | Receipt | None:
        """Return the message that an earlier attempt posted, None when there is none.

        A `Receipt` when Slack would not say.
        """
        method, arguments = _question(delivery)
        for _ in range(_MOST_PAGES):
            if (later := await self._pace.turn()) is not None:
                return later
            try:
                said = await self._api.call(method, arguments, form=True)
            except NotAnswered as unheard:
                return self._obeyed(_put_off(unheard.receipt, str(unheard)))
            if not said.ok:
                return self._obeyed(_not_found_out(said))
            for post in listed(said.document, "messages"):
                if isinstance(post, dict) and self._is_it(post, delivery):
                    return Found(text(post, "ts"), text(post, "text"))
            cursor = text(table(said.document, "response_metadata"), "next_cursor")
            if not cursor:
                break
            arguments["cursor"] = cursor
        return None

    def _obeyed(self, receipt: Receipt) -> Receipt:
        if isinstance(receipt, Deferred) and receipt.after_seconds and not receipt.offline:
            self._pace.hold(receipt.after_seconds)
        return receipt

    def _is_it(self, post: dict[str, Any], delivery: Delivery) -> bool:
        files = stored(delivery.message)
        if not files:
            return _carries(post, delivery.id)
        # What shares files carries no metadata: ours is the one with these files or, of an earlier life, these names.
        ours = not self._guard.own_ids.isdisjoint((text(post, "user"), text(post, "bot_id")))
        there = [each for each in listed(post, "files") if isinstance(each, dict)]
        if known := {self._shared.get(text(each, "id")) for each in there} - {None}:
            return known == {delivery.id}
        titles = {text(each, "title") for each in there}
        return ours and titles >= {name_for(file) for file in files}


def stored(reply: Message) -> tuple[Attachment, ...]:
    """Return the files that are ours to upload; what has only an address is shown as a link."""
    return tuple(each for each in reply.attachments if each.ref)


def _question(delivery: Delivery) -> tuple[str, dict[str, Any]]:
    place = delivery.message.conversation
    oldest = f"{max(delivery.created_at - _SKEW_SECONDS, 0.0):.6f}"
    arguments = {"channel": place.id, "oldest": oldest, "include_all_metadata": True, "limit": _PAGE}
    if place.thread:
        return "conversations.replies", {**arguments, "ts": place.thread}
    return "conversations.history", arguments


def _carries(post: dict[str, Any], delivery_id: str) -> bool:
    metadata = table(post, "metadata")
    made = table(metadata, "event_payload")
    return text(metadata, "event_type") == EVENT_TYPE and text(made, "id") == delivery_id and "part" not in made


def _put_off(receipt: Receipt, why: str) -> Deferred:
    """Ask later: when Slack says so, and uncounted while it is away."""
    why = f"Whether this was sent before cannot be looked up: {why}"
    if isinstance(receipt, Deferred):
        return replace(receipt, why=why)
    return Deferred(why)


def _not_found_out(said: Said) -> Receipt:
    receipt = receipt_for(said)
    if isinstance(receipt, Deferred | Unknown):
        return _put_off(receipt, receipt.why)
    return Bounced(
        f"Nobody knows whether this arrived, and it cannot be looked up: {said.error}. Look into the conversation; "
        "then `oclaw dead retry` sends it again and `oclaw dead drop` forgets it. The bot must be a member there, and "
        "the app needs the scopes channels:history, groups:history, im:history and mpim:history (and im:write, to find "
        "the conversation with a person), or look_up = false."
    )
