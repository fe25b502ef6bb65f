"""What someone said, where and to whom: the one form every platform's messages take.

A channel makes a `Message` of what its platform sent; nobody behind the channel ever
sees the foreign form again. Whatever a platform says beyond these fields is kept under
`metadata`, under the platform's own names, so that rules and hooks can still read it.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Literal

from msgspec import Struct

MessageType = Literal["text", "image", "audio", "video", "file", "location", "sticker", "reaction", "command", "event"]
MessageAction = Literal["new", "edit", "delete"]
ConversationKind = Literal["direct", "group", "channel"]
AttachmentKind = Literal["image", "audio", "video", "file", "sticker"]
# `rules.composing` says why: up to here nothing can be slow.
_SHORT = 256


class Sender(Struct, frozen=True, omit_defaults=True):
    """Who said it: the platform's stable id, a display name, and whether a program speaks."""

    id: str = ""
    name: str = ""
    is_bot: bool = False


class Conversation(Struct, frozen=True, omit_defaults=True):
    """Where it was said and where replies go: a chat, and a thread within it if the platform has threads."""

    id: str = ""
    kind: ConversationKind = "direct"
    thread: str = ""
    title: str = ""


class Attachment(Struct, frozen=True, omit_defaults=True):
    """A file that came along: `url` where the platform serves it, or `ref` in the gateway's media store."""

    kind: AttachmentKind = "file"
    mime: str = ""
    name: str = ""
    size: int = 0
    url: str = ""
    ref: str = ""


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One normalised message, inbound or reply.

    `content` is the text or caption in NFC, empty when there is none. `dedupe_key` is the
    same in every redelivery of the same event. `target_id` names the message that an edit,
    a delete or a reaction is about; `reply_to` the message this one answers. `sent_at` is
    the platform's time in seconds since the epoch, 0 when it gives none.
    """

    channel: str
    id: str = ""
    platform: str = ""
    type: MessageType = "text"
    action: MessageAction = "new"
    content: str = ""
    sender: Sender = Sender()
    dedupe_key: str = ""
    target_id: str = ""
    conversation: Conversation = Conversation()
    mentions_me: bool = False
    attachments: tuple[Attachment, ...] = ()
    reply_to: str = ""
    sent_at: float = 0.0
    metadata: dict[str, Any] = {}


def storable(text: str) -> str:
    """Return `text` with U+FFFD for each half of a surrogate pair, which no encoding can hold."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def nfc(text: str) -> str:
    """Return `text` in Unicode normalisation form C, in which the gateway keeps and compares all text."""
    if text.isascii():
        return text
    if len(text) <= _SHORT:
        return unicodedata.normalize("NFC", text)
    # Only a long text can be one that Python would take minutes for.
    from rules.composing import nfc as composed

    return composed(text)
