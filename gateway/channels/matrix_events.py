"""One event of a Matrix room becomes one message, or a word that says why not.

Pure. Servers pass on what any client of any server made, so every field may be missing or of any
type; nothing here raises. What the message's fields do not take stays in `metadata`, under Matrix's own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from gateway.channels.field_map import unkeepable
from gateway.message.message import Attachment, AttachmentKind, Conversation, Message, MessageType, Sender, nfc

PLATFORM = "matrix"
MESSAGES = frozenset(("m.room.message", "m.sticker", "m.reaction", "m.room.redaction"))
_FILES: dict[str, AttachmentKind] = {"m.image": "image", "m.audio": "audio", "m.video": "video", "m.file": "file"}
_TYPES: dict[str, MessageType] = {**_FILES, "m.location": "location"}
# What older clients put before a reply (rich reply fallbacks, removed from the specification in 1.13).
_FALLBACK = re.compile(r"> <@[^>\n]*>[^\n]*\n(?:>[^\n]*\n)*\n?")
# Twice the longest reply of ours; a hostile one takes 15 ms to read, and a transaction may have a hundred.
_MOST_FORMATTED = 32 * 1024
# No identifier has more bytes (specification 1.16, appendix 4.2); what servers elsewhere write is not checked by ours.
_LONGEST_ID = 255
_TAKEN = frozenset(("body", "formatted_body", "format", "m.new_content", "filename"))


class Place(Struct, frozen=True):
    """What a reader of events knows besides: who we are, the room's kind and title, names, threads, our own events."""

    channel: str
    bot: str
    kind: Callable[[str], Any]
    title: Callable[[str], str]
    name_of: Callable[[str, str], str]
    thread_of: Callable[[str], str]
    is_ours: Callable[[str], bool]
    markdown: Callable[[str], str]


def message_of(event: dict[str, Any], place: Place) -> Message | str:
    """Read one event; the word is for counting: `redacted`, or the type of what is no message."""
    kind, content = text(event, "type"), table(event, "content")
    sender, event_id, room = text(event, "sender"), text(event, "event_id"), text(event, "room_id")
    if kind not in MESSAGES or "state_key" in event:
        return kind or "event without a type"
    if not (sender and event_id and room):
        return f"{kind} without sender, id or room"
    if kind == "m.room.redaction":
        return _redaction(event, place)
    if not content:
        return f"{kind} redacted"
    return _reaction(event, content, place) if kind == "m.reaction" else _said(event, content, place)


def text(table: dict[str, Any], key: str) -> str:
    """Return a text field, '' when it is missing or something else."""
    value = table.get(key)
    return value if type(value) is str else ""


def identifier(table: dict[str, Any], key: str) -> str:
    """Return an id, '' when it is missing or cannot be one: some are remembered by the thousand."""
    value = text(table, key)
    return value if len(value) <= _LONGEST_ID else ""


def table(outer: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object field, {} when it is missing or something else."""
    value = outer.get(key)
    return value if type(value) is dict else {}


def _said(event: dict[str, Any], content: dict[str, Any], place: Place) -> Message | str:
    relation = table(content, "m.relates_to")
    target = identifier(relation, "event_id")
    if text(relation, "rel_type") == "m.replace" and target:
        new = table(content, "m.new_content")
        if not new:
            return "m.replace without new content"
        return _spoken(event, new, place, action="edit", target_id=target, conversation=_where(event, place, target))
    thread = target if text(relation, "rel_type") == "m.thread" else ""
    answered = identifier(table(relation, "m.in_reply_to"), "event_id")
    if thread and relation.get("is_falling_back") is True:
        answered = ""
    conversation = _where(event, place, thread=thread)
    return _spoken(event, content, place, conversation=conversation, reply_to=answered)


def _spoken(event: dict[str, Any], content: dict[str, Any], place: Place, **fields: Any) -> Message | str:
    msgtype = "m.sticker" if event["type"] == "m.sticker" else text(content, "msgtype")
    if not msgtype:
        return "m.room.message without a msgtype"
    attachment = _attachment(content, msgtype)
    reply_to = fields.get("reply_to", "")
    body = nfc(_body(content, place, caption=attachment is not None, is_reply=bool(reply_to)))
    return _message(
        event,
        place,
        content=body,
        type="sticker" if msgtype == "m.sticker" else _TYPES.get(msgtype, "text"),
        attachments=(attachment,) if attachment else (),
        mentions_me=_mentions(content, place, body) or bool(reply_to and place.is_ours(reply_to)),
        metadata=_rest(event, content),
        is_bot=msgtype == "m.notice",
        **fields,
    )


def _reaction(event: dict[str, Any], content: dict[str, Any], place: Place) -> Message | str:
    relation = table(content, "m.relates_to")
    target, key = identifier(relation, "event_id"), text(relation, "key")
    if text(relation, "rel_type") != "m.annotation" or not (target and key):
        return "m.reaction without annotation"
    where, rest = _where(event, place, target), _rest(event, content)
    about: dict[str, Any] = {"target_id": target, "conversation": where, "metadata": rest}
    return _message(event, place, type="reaction", content=nfc(key), **about)


def _redaction(event: dict[str, Any], place: Place) -> Message | str:
    # Room version 11 moved `redacts` from the top level into the content; homeservers send both for a while.
    content = table(event, "content")
    target = identifier(content, "redacts") or identifier(event, "redacts")
    if not target:
        return "m.room.redaction without a target"
    where, rest = _where(event, place, target), _rest(event, content)
    return _message(event, place, type="event", action="delete", target_id=target, conversation=where, metadata=rest)


def _message(event: dict[str, Any], place: Place, *, is_bot: bool = False, **fields: Any) -> Message:
    sender, at = event["sender"], event.get("origin_server_ts")
    return Message(
        channel=place.channel,
        platform=PLATFORM,
        id=event["event_id"],
        dedupe_key=event["event_id"],
        sender=Sender(sender, place.name_of(event["room_id"], sender), is_bot=is_bot),
        sent_at=at / 1000 if type(at) is int and 0 < at < 2**53 else 0.0,
        **fields,
    )


def _where(event: dict[str, Any], place: Place, about: str = "", *, thread: str = "") -> Conversation:
    """Name the conversation; what is about an event of a thread (an edit, a reaction) belongs there, too."""
    room = event["room_id"]
    return Conversation(room, place.kind(room), thread or (place.thread_of(about) if about else ""), place.title(room))


def _body(content: dict[str, Any], place: Place, *, caption: bool, is_reply: bool) -> str:
    """Return what was said: the formatted form as Markdown where there is one, else the plain one."""
    body, formatted = text(content, "body"), text(content, "formatted_body")
    if caption and text(content, "filename") in ("", body):
        return ""  # MSC2530: the body of a file is a caption only when the name stands elsewhere
    if 0 < len(formatted) <= _MOST_FORMATTED and content.get("format") == "org.matrix.custom.html":
        marked = place.markdown(formatted)
        if marked:
            return marked
    quoted = _FALLBACK.match(body) if is_reply else None
    return body[quoted.end() :] if quoted is not None else body


def _attachment(content: dict[str, Any], msgtype: str) -> Attachment | None:
    kind: AttachmentKind | None = "sticker" if msgtype == "m.sticker" else _FILES.get(msgtype)
    if kind is None:
        return None
    size = table(content, "info").get("size")
    return Attachment(
        kind=kind,
        mime=text(table(content, "info"), "mimetype"),
        name=text(content, "filename") or text(content, "body"),
        size=size if type(size) is int and 0 <= size < 2**53 else 0,
        url=text(content, "url"),
    )


def _mentions(content: dict[str, Any], place: Place, body: str) -> bool:
    """Decide by `m.mentions`, which is authoritative where it is there; older clients only write the id."""
    mentions = content.get("m.mentions")
    if type(mentions) is dict:
        users = mentions.get("user_ids")
        return type(users) is list and place.bot in users
    return place.bot in body or place.bot in text(content, "formatted_body")


def _rest(event: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in content.items() if key not in _TAKEN}
    rest["type"] = event["type"]
    # A number beyond 64 bits or nesting without end fits in no record, and the homeserver would repeat it for ever.
    return rest if unkeepable(rest) is None else {"type": event["type"]}
