"""Bring one reply to Slack: post, change, delete, react, upload; paced, and never twice.

Slack takes no idempotency key. So every post carries the delivery's id in its metadata, and an attempt that may
repeat an earlier one first looks for that id in the conversation. What was begun by streaming is finished by editing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from gateway.channels.shared.loops import LoopGuard
from gateway.channels.shared.pace import Pace, Rate
from gateway.channels.slack_api import CREDENTIALS, NotAnswered, WebApi, receipt_for
from gateway.channels.slack_fields import text
from gateway.channels.slack_lookup import EVENT_TYPE, Found, Lookup, stored
from gateway.channels.slack_people import People
from gateway.channels.slack_settings import Settings
from gateway.channels.slack_text import name_of, written
from gateway.channels.slack_uploads import Uploads
from gateway.message.envelope import Delivery, delivery_id
from gateway.message.message import Attachment, Conversation, Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown

# Refusals after which a slash command is still answered by the address that came with it.
_OUTSIDE = ("not_in_channel", "channel_not_found")
# As many as are under way at once, many times over.
_KEPT = 2048


class Sending:
    """The way out of one account. `refused` is called with Slack's word when it does not take the token.

    `questions` is the pace at which conversations are read.
    """

    def __init__(
        self,
        api: WebApi,
        uploads: Uploads,
        settings: Settings,
        guard: LoopGuard,
        refused: Callable[[str], None],
        *,
        questions: Pace,
    ) -> None:
        self._api, self._uploads, self._settings = api, uploads, settings
        self._refused = refused
        self._people = People(api, refused)
        self._lookup = Lookup(api, guard, questions)
        self._pace = Pace(each=Rate(settings.message_seconds, settings.burst))
        # Deliveries that this process has posted, or may have, and where: their ts, or '' when nobody knows.
        self._begun: OrderedDict[tuple[str, str], str] = OrderedDict()
        # Streams under way: how many messages beyond the first they needed.
        self._streaming: dict[str, int] = {}

    async def placed(self, delivery: Delivery) -> Delivery | Receipt:
        """Return the delivery with a conversation's id where it has a person's; a `Receipt` when it must wait."""
        return await self._people.placed(delivery)

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Make one attempt at a delivery that is `placed`."""
        reply = delivery.message
        match reply.type, reply.action:
            case ("reaction", _):
                return await self._react(reply)
            case (_, "delete"):
                return await self._delete(reply)
            case (_, "edit"):
                return await self.edit(reply.conversation, reply.target_id, reply.content)
            case _:
                return await self._post_once(delivery)

    async def post(self, delivery: Delivery, said: str, *, part: int = 0) -> Receipt:
        """Post a text as a new message; `remote_id` is its ts."""
        reply = delivery.message
        made = {"id": delivery.id, "part": part} if part else {"id": delivery.id}
        arguments: dict[str, Any] = {
            "channel": reply.conversation.id,
            "text": written(said, self._settings.format),
            "metadata": {"event_type": EVENT_TYPE, "event_payload": made},
        }
        if self._settings.format == "plain":
            arguments["mrkdwn"] = False
        if reply.conversation.thread:
            arguments["thread_ts"] = reply.conversation.thread
        receipt = await self._call(
            "chat.postMessage", arguments, reply.conversation, doubted="" if part else delivery.id
        )
        way = reply.metadata.get("response_url")
        if isinstance(way, str) and _is_outside(receipt):
            receipt = await self._api.respond(way, arguments["text"])
            if isinstance(receipt, Unknown):
                self._remember(delivery.id, reply.conversation, "")
        return receipt

    async def post_streamed(self, delivery: Delivery, said: str) -> Receipt:
        """Post what a stream shows as a new message. The first stands for the delivery; a later attempt edits it."""
        if delivery.id in self._streaming:
            return await self._post_part(delivery, said, self._streaming[delivery.id] + 1)
        standing = await self._standing(delivery)
        match standing:
            case None:
                receipt = await self.post(delivery, said)
            case Found(ts):
                receipt = _renamed(await self.edit(delivery.message.conversation, ts, said), ts)
            case unclear:
                return unclear
        if isinstance(receipt, Delivered):
            self._streaming[delivery.id] = 0
            self._remember(delivery.id, delivery.message.conversation, receipt.remote_id)
        return receipt

    async def _post_part(self, delivery: Delivery, said: str, part: int) -> Receipt:
        """Post what goes on behind the first message: the piece of that number, should the outbox have to send all."""
        receipt = await self.post(delivery, said, part=part)
        if isinstance(receipt, Delivered):
            self._streaming[delivery.id] = part
            self._remember(_behind(delivery, part), delivery.message.conversation, receipt.remote_id)
        return receipt

    def ended(self, delivery: Delivery, *, again: bool) -> None:
        """A stream is over. Unless the outbox sends it again, the numbers behind its own are for other replies."""
        for part in range(1, self._streaming.pop(delivery.id, 0) + 1):
            if not again:
                self._begun.pop((_behind(delivery, part), delivery.message.conversation.id), None)

    async def edit(self, conversation: Conversation, ts: str, said: str) -> Receipt:
        """Replace the text of a message of ours."""
        arguments = {"channel": conversation.id, "ts": ts, "text": written(said, self._settings.format)}
        return await self._call("chat.update", arguments, conversation)

    async def _post_once(self, delivery: Delivery) -> Receipt:
        said, files = _with_links(delivery.message), stored(delivery.message)
        match await self._standing(delivery):
            case Found(ts, there):
                # What a stream began and did not end stands there in part.
                if files or not self._settings.stream or there == written(said, self._settings.format):
                    return Delivered(ts)
                return _renamed(await self.edit(delivery.message.conversation, ts, said), ts)
            case None if files:
                return await self._share(delivery, said, files)
            case None if not said.strip():
                return Bounced("The reply has no text.")
            case None:
                return await self.post(delivery, said)
            case unclear:
                return unclear

    async def _standing(self, delivery: Delivery) -> Found | Receipt | None:
        """Return the message of an earlier attempt, None when there is none, or a `Receipt` when nobody can tell."""
        known = self._begun.get((delivery.id, delivery.message.conversation.id))
        if known:
            return Found(known, "")
        doubted = known == ""
        if self._settings.look_up and (doubted or (delivery.repeated and not delivery.replayed)):
            standing = await self._lookup.find(delivery)
            if not doubted and delivery.message.metadata.get("response_url") and _is_outside(standing):
                # No attempt of this life is in doubt, and one of an earlier life hardly ever. That the answer may stand
                # there twice is better than none: after half an hour nobody can give it.
                return None
            return standing
        if doubted and not delivery.replayed:
            return Unknown("An earlier attempt may have arrived, and look_up is off.")
        return None

    async def _share(self, delivery: Delivery, said: str, files: tuple[Attachment, ...]) -> Receipt:
        reply = delivery.message
        made = await self._uploads.prepare(files)
        if not isinstance(made, list):
            return made
        self._lookup.shares(delivery, [each["id"] for each in made])
        arguments = self._uploads.sharing(made, reply, written(said, self._settings.format))
        return await self._call("files.completeUploadExternal", arguments, reply.conversation, doubted=delivery.id)

    async def _react(self, reply: Message) -> Receipt:
        name = name_of(reply.content)
        if not name or not reply.target_id:
            return Bounced(f"Slack has no reaction {reply.content[:40]!r}, or the message to react to is not named.")
        method = "reactions.remove" if reply.action == "delete" else "reactions.add"
        arguments = {"channel": reply.conversation.id, "timestamp": reply.target_id, "name": name}
        return await self._call(method, arguments, reply.conversation)

    async def _delete(self, reply: Message) -> Receipt:
        arguments = {"channel": reply.conversation.id, "ts": reply.target_id}
        receipt = await self._call("chat.delete", arguments, reply.conversation)
        gone = isinstance(receipt, Bounced) and "message_not_found" in receipt.why
        return Delivered(reply.target_id) if gone else receipt

    async def _call(
        self, method: str, arguments: dict[str, Any], conversation: Conversation, *, doubted: str = ""
    ) -> Receipt:
        """Make a paced call; `doubted` is the delivery whose next attempt must look first if this one ends in doubt."""
        held = await self._pace.turn(conversation.id)
        if held is not None:
            return held
        try:
            said = await self._api.call(method, arguments)
        except NotAnswered as unheard:
            self._obey(unheard.receipt, conversation)
            if doubted and unheard.doubtful:
                self._remember(doubted, conversation, "")
            return unheard.receipt
        if said.error in CREDENTIALS and not said.ok:
            self._refused(said.error)
        receipt = receipt_for(said, remote_id=text(said.document, "ts"))
        self._obey(receipt, conversation)
        if doubted and isinstance(receipt, Unknown):
            self._remember(doubted, conversation, "")
        return receipt

    def _obey(self, receipt: Receipt, conversation: Conversation) -> None:
        # While Slack is away nothing was asked of us: its return wakes what waits, which then goes at once.
        if isinstance(receipt, Deferred) and receipt.after_seconds and not receipt.offline:
            self._pace.hold(receipt.after_seconds, conversation.id)

    def _remember(self, delivery_id: str, conversation: Conversation, ts: str) -> None:
        self._begun[delivery_id, conversation.id] = ts
        if len(self._begun) > _KEPT:
            self._begun.popitem(last=False)


def _is_outside(answer: Found | Receipt | None) -> bool:
    return isinstance(answer, Bounced) and any(word in answer.why for word in _OUTSIDE)


def _behind(delivery: Delivery, part: int) -> str:
    return delivery_id(delivery.envelope_id, int(delivery.id.rpartition(".")[2]) + part)


def _with_links(reply: Message) -> str:
    """Return the text with the files that are only known by address below it; Slack unfolds them."""
    links = [_link(each) for each in reply.attachments if each.url and not each.ref]
    return "\n".join([*([reply.content] if reply.content else []), *links])


def _link(attachment: Attachment) -> str:
    return f"[{attachment.name}]({attachment.url})" if attachment.name else attachment.url


def _renamed(receipt: Receipt, ts: str) -> Receipt:
    return Delivered(ts) if isinstance(receipt, Delivered) else receipt
