"""Replies on their way into a room: what event each becomes, and what the homeserver's answer means.

Every event is sent under a transaction id made of the delivery's, so that an attempt that is repeated after
a lost answer gives the same event again.
"""

from __future__ import annotations

from typing import Any

from gateway.channels.matrix_homeserver import Answer, Homeserver, receipt_for, room_path, segment
from gateway.channels.matrix_rooms import Rooms
from gateway.channels.matrix_settings import Settings
from gateway.message.envelope import Delivery
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Deferred, Delivered, Receipt, Unknown
from protocols.errors import NothingSent, UnknownAfterSend

# What clients that know no edits show; the whole text stands in the new content.
_FALLBACK = 200


class Sending:
    """The sending side of one account."""

    def __init__(self, settings: Settings, homeserver: Homeserver, rooms: Rooms) -> None:
        self._settings, self._homeserver, self._rooms = settings, homeserver, rooms

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Make one attempt."""
        message = delivery.message
        if self._rooms.encrypted(message.conversation.id):
            return Bounced("The room is encrypted; nothing is said there in clear.")
        try:
            receipt = receipt_for(await self._send(delivery))
        except NothingSent as error:
            return Deferred(str(error))
        except UnknownAfterSend as error:
            return Unknown(str(error))
        if isinstance(receipt, Delivered) and receipt.remote_id:
            self._rooms.sent(receipt.remote_id, message.conversation.thread)
        return receipt

    async def _send(self, delivery: Delivery) -> Answer:
        message, room = delivery.message, delivery.message.conversation.id
        if message.action == "delete":
            path = f"{room_path(room)}/redact/{segment(message.target_id)}/{segment(delivery.id)}"
            return await self._homeserver.call("PUT", path, {})
        if message.type == "reaction":
            annotation = {"rel_type": "m.annotation", "event_id": message.target_id, "key": message.content}
            return await self._homeserver.send(room, "m.reaction", delivery.id, {"m.relates_to": annotation})
        if message.action == "edit":
            content = edit_of(self.content_of(message.content), message.target_id)
        else:
            content = self.content_of(message.content) | self.relation(message)
        return await self._homeserver.send(room, "m.room.message", delivery.id, content)

    def content_of(self, markdown: str) -> dict[str, Any]:
        """Return the content of a message event."""
        return {"msgtype": f"m.{self._settings.reply_as}", "body": markdown}

    def relation(self, message: Message) -> dict[str, Any]:
        """Say to what a reply belongs: its thread, and what it answers where that helps."""
        where, quoted = message.conversation, message.reply_to
        if where.thread:
            # The fallback is for clients without threads, which show it as a reply to what was answered.
            answered = {"event_id": quoted or where.thread}
            thread = {"rel_type": "m.thread", "event_id": where.thread, "is_falling_back": True}
            return {"m.relates_to": {**thread, "m.in_reply_to": answered}}
        wanted = self._settings.quote
        if quoted and (wanted == "always" or (wanted == "groups" and where.kind != "direct")):
            return {"m.relates_to": {"m.in_reply_to": {"event_id": quoted}}}
        return {}


def edit_of(content: dict[str, Any], target: str) -> dict[str, Any]:
    """Make the event that replaces the content of `target`."""
    body = content["body"]
    return {
        "msgtype": content["msgtype"],
        "body": "* " + (body if len(body) <= _FALLBACK else body[:_FALLBACK] + "…"),
        "m.new_content": content,
        "m.relates_to": {"rel_type": "m.replace", "event_id": target},
    }
