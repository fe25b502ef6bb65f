"""Replies on their way into a room: what event each becomes, and what the homeserver's answer means.

Every event is sent under a transaction id made of the delivery's, so that an attempt that is repeated after
a lost answer gives the same event again; and as a homeserver that is killed forgets those ids, what may have arrived is
looked for in the room first (`matrix_history.py`). A reply that was streamed before (in this life or, after a crash, in
an earlier one) stands there already, perhaps in part: then it is edited to the whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from gateway.channels.matrix_content import edit_of, relation_of, text_content
from gateway.channels.matrix_events import table, text
from gateway.channels.matrix_files import Files, content_for
from gateway.channels.matrix_ghosts import Ghosts
from gateway.channels.matrix_history import MARK, History, NotNow
from gateway.channels.matrix_homeserver import Answer, Homeserver, receipt_for, room_path, segment
from gateway.channels.matrix_rooms import Recent, Rooms
from gateway.channels.matrix_settings import Settings
from gateway.channels.shared.edits import stream_by_edits
from gateway.channels.shared.errors import MediaRefused
from gateway.message.envelope import Delivery
from gateway.message.message import Message
from gateway.message.receipt import Bounced, Delivered, Receipt, Unknown, Unsent
from gateway.ports import Kit
from protocols.errors import NothingSent, UnknownAfterSend


class Sending:
    """The sending side of one account."""

    def __init__(
        self,
        settings: Settings,
        kit: Kit,
        homeserver: Homeserver,
        *,
        rooms: Rooms,
        files: Files,
        ghosts: Ghosts,
        is_encrypted: Callable[[str], bool],
        lost: Callable[[], None],
    ) -> None:
        """`is_encrypted` knows of rooms that nothing else is known of; `lost` is told when a call had no answer of the
        homeserver's own."""
        self._settings, self._kit, self._homeserver = settings, kit, homeserver
        self._history = History(homeserver)
        self._rooms, self._files, self._ghosts = rooms, files, ghosts
        self._is_encrypted, self._lost = is_encrypted, lost
        self._began = kit.now()
        # By envelope and room: the numbers of its replies may be used elsewhere, too.
        self._streamed: Recent[tuple[str, str], list[str]] = Recent(256)

    async def deliver(self, delivery: Delivery) -> Receipt:
        """Make one attempt."""
        return await self._receipt(delivery.message, partial(self._deliver, delivery))

    async def stream(self, delivery: Delivery, pieces: AsyncIterator[str]) -> Receipt:
        """Show the reply while it is written, by edits."""
        events: list[str] = []
        stood = self._may_stand(delivery)
        self._streamed.put(_place(delivery), events)

        async def post(words: str) -> Receipt:
            part = delivery.id if not events else f"{delivery.id}.part{len(events)}"
            say = self._say_or_amend if stood else self._say
            receipt = await self._receipt(delivery.message, partial(say, delivery, part, words))
            if isinstance(receipt, Delivered):
                events.append(receipt.remote_id)
            return receipt

        async def edit(remote_id: str, text: str) -> Receipt:
            # Edits carry the whole text, so one that arrives twice does no harm, and each is new to the homeserver.
            txn = f"{delivery.id}.edit{self._kit.random(6).hex()}"
            return await self._receipt(delivery.message, partial(self._replace, delivery.message, remote_id, txn, text))

        settings = self._settings
        limit, every = settings.text_limit, settings.edit_seconds
        receipt = await stream_by_edits(pieces, post, edit, limit=limit, unit="bytes", every_seconds=every)
        if isinstance(receipt, Delivered):
            del events[1:]  # nothing of it is sent again; the numbers behind its own are for other replies
        return receipt

    # -- one attempt ------------------------------------------------------------------------------

    async def _receipt(self, message: Message, attempt: Callable[[], Awaitable[Answer]]) -> Receipt:
        room = message.conversation.id
        if self._rooms.encrypted(room) or self._is_encrypted(room):
            return Bounced("The room is encrypted; nothing is said there in clear.")
        try:
            answer = await attempt()
        except NotNow as error:
            return receipt_for(error.answer)
        except (NothingSent, UnknownAfterSend) as error:
            self._lost()
            return Unsent(str(error)) if isinstance(error, NothingSent) else Unknown(str(error))
        except MediaRefused as error:
            return Bounced(str(error))
        if answer.status >= 500 or not (answer.ok or answer.code):
            self._lost()  # a proxy said it and what is behind may be gone, or a homeserver that is just going
        receipt = receipt_for(answer)
        if isinstance(receipt, Delivered) and receipt.remote_id:
            self._rooms.sent(receipt.remote_id, message.conversation.thread)
        return receipt

    async def _deliver(self, delivery: Delivery) -> Answer:
        message, room, user = delivery.message, delivery.message.conversation.id, self._speaker(delivery.message)
        if message.action == "delete":
            path = f"{room_path(room)}/redact/{segment(message.target_id)}/{segment(delivery.id)}"
            return await self._homeserver.call("PUT", path, {}, user=user)
        if message.type == "reaction":
            annotation = {"rel_type": "m.annotation", "event_id": message.target_id, "key": message.content}
            return await self._send(room, "m.reaction", delivery.id, {"m.relates_to": annotation}, user)
        if message.action == "edit":
            return await self._replace(message, message.target_id, delivery.id, message.content)
        said = await self._said(delivery) if message.content or not message.attachments else None
        for number, attachment in enumerate(message.attachments):
            if said is not None and not said.ok:
                break
            uploaded = await self._files.upload(attachment)
            if not uploaded.ok:
                return uploaded
            content = content_for(attachment, text(uploaded.told, "content_uri"))
            relation = relation_of(message, self._settings) if said is None else {}
            answer = await self._send(room, "m.room.message", f"{delivery.id}.file{number}", content | relation, user)
            said = answer if said is None or not answer.ok else said
        assert said is not None, "a reply has a text or a file"
        return said

    async def _said(self, delivery: Delivery) -> Answer:
        """Say the text, or make what a stream left of it whole."""
        message = delivery.message
        index = int(delivery.id.rpartition(".")[2] or 0)
        events = self._streamed.get(_place(delivery)) or []
        if index < len(events):
            return await self._replace(message, events[index], f"{delivery.id}.whole", message.content)
        if delivery.repeated or self._may_stand(delivery):
            return await self._say_or_amend(delivery, delivery.id, message.content)
        return await self._say(delivery, delivery.id, message.content)

    async def _say_or_amend(self, delivery: Delivery, txn: str, words: str) -> Answer:
        """Say what may stand there already, whole or in part: then it is left, or edited to the whole."""
        message = delivery.message
        sender = self._speaker(message) or self._settings.bot
        stands = await self._history.find(message.conversation.id, sender, txn)
        if stands is None:
            return await self._say(delivery, txn, words)
        event = text(stands, "event_id")
        if text(table(stands, "content"), "body") == words:
            return Answer(200, {"event_id": event})
        return await self._replace(message, event, f"{txn}.whole{self._kit.random(4).hex()}", words)

    def _may_stand(self, delivery: Delivery) -> bool:
        """Tell whether a stream may have begun this reply: one of ours, or of an earlier life of the gateway."""
        if self._streamed.get(_place(delivery)) is not None:
            return True
        stamp = delivery.envelope_id.replace("-", "")[:12]
        return 0 < int(stamp, 16) / 1000 < self._began

    async def _say(self, delivery: Delivery, txn: str, words: str) -> Answer:
        message, settings = delivery.message, self._settings
        content = text_content(words, settings.reply_as) | relation_of(message, settings) | {MARK: txn}
        return await self._send(message.conversation.id, "m.room.message", txn, content, self._speaker(message))

    async def _replace(self, message: Message, event: str, txn: str, words: str) -> Answer:
        content = edit_of(text_content(words, self._settings.reply_as), event)
        answer = await self._send(message.conversation.id, "m.room.message", txn, content, self._speaker(message))
        return Answer(answer.status, {"event_id": event}) if answer.ok else answer

    async def _send(self, room: str, kind: str, txn: str, content: dict[str, Any], user: str) -> Answer:
        """Send an event; without its HTML where both are too much, with the ghost brought in where it is missing."""
        answer = await self._homeserver.send(room, kind, txn, content, user=user)
        if answer.status == 403 and user:
            entered = await self._ghosts.enter(user, room)
            answer = await self._homeserver.send(room, kind, txn, content, user=user) if entered.ok else entered
        if answer.code == "M_TOO_LARGE" and "formatted_body" in str(content):
            answer = await self._homeserver.send(room, kind, txn, _plain(content), user=user)
        return answer

    def _speaker(self, message: Message) -> str:
        """Return which ghost speaks: the sender that a hook gave the reply."""
        return message.sender.id if self._ghosts.is_ghost(message.sender.id) else ""


def _place(delivery: Delivery) -> tuple[str, str]:
    return delivery.envelope_id, delivery.message.conversation.id


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in content.items() if key not in ("format", "formatted_body")}
    if "m.new_content" in kept:
        kept["m.new_content"] = _plain(kept["m.new_content"])
    return kept
