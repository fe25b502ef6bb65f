"""Messages and events between the gateway's own form and protobuf's. Pure.

From outside nothing is believed: a field that breaks its form is named by a `FieldError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.api.rpc.refusals import FieldError
from gateway.api.v1 import gateway_pb2 as pb
from gateway.api.v1 import message_pb2 as form
from gateway.channels.grpc import OURS
from gateway.channels.grpc_events import ChannelEvent, ReplySaid
from gateway.message.message import (
    Attachment,
    AttachmentKind,
    Conversation,
    ConversationKind,
    Message,
    MessageAction,
    MessageType,
    Sender,
    nfc,
)
from protocols.json_text import encode_json

T = TypeVar("T")
# An id of any platform is far shorter; each is hashed, indexed and shown.
MOST_ID_CHARACTERS = 512
MOST_ATTACHMENTS = 64
# Deeper metadata is no use to rules, and a record may hold 64 levels in all.
MOST_LEVELS = 32

# What official clients take in one message, unless they are told otherwise; one that meets more ends its call.
MOST_BYTES = 4 * 1024 * 1024
# What is left is for the frames around an event, and for the lengths before its parts.
_MOST_REPLY_BYTES = MOST_BYTES - 1024
# Characters have four bytes at most: with fewer of them in its long fields a reply needs no counting.
_SMALL_CHARACTERS = 512 * 1024

# What a google.protobuf.Timestamp may be: the years 1 to 9999.
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0
_TYPES: tuple[MessageType, ...] = (
    "text", "text", "image", "audio", "video", "file", "location", "sticker", "reaction", "command", "event",
)  # fmt: skip
_ACTIONS: tuple[MessageAction, ...] = ("new", "new", "edit", "delete")
_CONVERSATIONS: tuple[ConversationKind, ...] = ("direct", "direct", "group", "channel")
# How the same are written. `Any`: the stubs know a number as its enumeration, which it is not while the program runs.
_TYPE_NUMBERS: dict[str, Any] = {name: form.MessageType.Value(f"MESSAGE_TYPE_{name.upper()}") for name in _TYPES}
_ACTION_NUMBERS: dict[str, Any] = {
    name: form.MessageAction.Value(f"MESSAGE_ACTION_{name.upper()}") for name in _ACTIONS
}
_CONVERSATION_NUMBERS: dict[str, Any] = {
    name: form.ConversationKind.Value(f"CONVERSATION_KIND_{name.upper()}") for name in _CONVERSATIONS
}
_ATTACHMENTS: tuple[AttachmentKind, ...] = ("file", "image", "audio", "video", "file", "sticker")


def message_of(sent: form.Message, *, channel: str, platform: str, program: str) -> Message:
    """Read a client's message; `program` stands for a sender that is not named. Raises `FieldError`."""
    where, who = sent.conversation, sent.sender
    conversation = _id("message.conversation.id", where.id)
    if not conversation:
        raise FieldError("message.conversation.id", "is empty; it must say where replies go")
    id = _id("message.id", sent.id)
    return Message(
        channel=channel,
        platform=platform,
        id=id,
        type=_enum("message.type", sent.type, _TYPES),
        action=_enum("message.action", sent.action, _ACTIONS),
        content=nfc(sent.content),
        sender=Sender(_id("message.sender.id", who.id) or program, who.name or who.id or program, who.is_bot),
        conversation=Conversation(
            conversation,
            _enum("message.conversation.kind", where.kind, _CONVERSATIONS),
            _id("message.conversation.thread", where.thread),
            where.title,
        ),
        dedupe_key=_id("message.dedupe_key", sent.dedupe_key) or (f"{conversation}/{id}" if id else ""),
        target_id=_id("message.target_id", sent.target_id),
        reply_to=_id("message.reply_to", sent.reply_to),
        mentions_me=sent.mentions_me,
        attachments=_attachments(sent.attachments) if sent.attachments else (),
        sent_at=_seconds(sent.sent_at) if sent.HasField("sent_at") else 0.0,
        metadata=_table("message.metadata", sent.metadata, MOST_LEVELS) if sent.HasField("metadata") else {},
    )


def message_to(message: Message) -> form.Message:
    """Write a message."""
    written = form.Message()
    _write(message, written)
    return written


def event_to(event: ChannelEvent) -> pb.Event:
    """Write something that happened on a channel; a reply that is too large for clients is cut, and says so."""
    written = pb.Event()
    _write_moment(event.at, written.at)
    if isinstance(event, ReplySaid):
        written.sequence = event.sequence
        _write_reply(event, written.reply)
        if not _is_small(event.message):
            _cut(written.reply)
    else:
        piece = written.piece
        piece.id, piece.envelope_id, piece.index, piece.text = event.id, event.envelope_id, event.index, event.text
    return written


def reply_to(said: ReplySaid) -> pb.Reply:
    """Write a reply."""
    written = pb.Reply()
    _write_reply(said, written)
    return written


def moment(seconds: float) -> Timestamp:
    """Write a moment in epoch seconds; one beyond what a timestamp may be (years 1 to 9999) is none."""
    written = Timestamp()
    _write_moment(seconds, written)
    return written


def struct_to(table: Mapping[str, Any]) -> Struct:
    """Write plain values; what JSON has no form for is written as text."""
    written = Struct()
    written.update(msgspec.json.decode(encode_json(table, enc_hook=str)))
    return written


# Every reply is written: filled in where they stand, fields cost half of what they do in messages that are copied.


def _write_reply(said: ReplySaid, written: pb.Reply) -> None:
    written.id, written.envelope_id, written.incomplete = said.id, said.envelope_id, said.incomplete
    _write(said.message, written.message)


def _is_small(message: Message) -> bool:
    """Tell without counting bytes that a client will take it, as nearly every reply."""
    texts = len(message.content) + len(message.conversation.title) + len(message.sender.name)
    return texts < _SMALL_CHARACTERS and not message.attachments and not message.metadata


def _cut(written: pb.Reply) -> None:
    """Cut the text of a reply that clients would refuse; of one that is large without its text only that is left."""
    if written.ByteSize() <= _MOST_REPLY_BYTES:
        return
    message, text = written.message, written.message.content.encode()
    message.content = ""
    if written.ByteSize() > _MOST_REPLY_BYTES // 2:
        where = form.Conversation(id=message.conversation.id, kind=message.conversation.kind)
        bare = form.Message(channel=message.channel, platform=message.platform, conversation=where)
        bare.reply_to = message.reply_to
        message.CopyFrom(bare)
    message.content = text[: _MOST_REPLY_BYTES - written.ByteSize()].decode("utf-8", "ignore")
    written.incomplete = True


def _write(message: Message, written: form.Message) -> None:
    who, where = message.sender, message.conversation
    written.id, written.channel, written.platform = message.id, message.channel, message.platform
    written.type, written.action = _TYPE_NUMBERS[message.type], _ACTION_NUMBERS[message.action]
    written.content = message.content
    conversation = written.conversation
    conversation.id, conversation.kind = where.id, _CONVERSATION_NUMBERS[where.kind]
    conversation.thread, conversation.title = where.thread, where.title
    written.dedupe_key, written.target_id, written.reply_to = message.dedupe_key, message.target_id, message.reply_to
    written.mentions_me = message.mentions_me
    if message.attachments:
        written.attachments.extend([_attachment_to(each) for each in message.attachments])
    if who.id or who.name:
        sender = written.sender
        sender.id, sender.name, sender.is_bot = who.id, who.name, who.is_bot
    if message.sent_at:
        _write_moment(message.sent_at, written.sent_at)
    if message.metadata and (theirs := {key: value for key, value in message.metadata.items() if key != OURS}):
        written.metadata.CopyFrom(struct_to(theirs))


def _write_moment(seconds: float, written: Timestamp) -> None:
    # What is beyond a timestamp's years is there, and none.
    written.SetInParent()
    if _FIRST <= seconds <= _LAST:
        whole = int(seconds // 1)
        written.seconds, written.nanos = whole, int((seconds - whole) * 1e9)


def _id(field: str, value: str) -> str:
    if len(value) > MOST_ID_CHARACTERS:
        raise FieldError(field, f"has {len(value)} characters; at most {MOST_ID_CHARACTERS} are taken")
    return value


def _enum(field: str, value: int, names: Sequence[T]) -> T:
    if not 0 <= value < len(names):
        raise FieldError(field, f"is {value}, which stands for nothing here")
    return names[value]


def _seconds(at: Timestamp) -> float:
    return float(at.seconds) + at.nanos / 1e9


def _attachments(sent: Sequence[form.Attachment]) -> tuple[Attachment, ...]:
    if len(sent) > MOST_ATTACHMENTS:
        raise FieldError("message.attachments", f"has {len(sent)} entries; at most {MOST_ATTACHMENTS} are taken")
    return tuple([_attachment(f"message.attachments[{index}]", each) for index, each in enumerate(sent)])


def _attachment(field: str, sent: form.Attachment) -> Attachment:
    if sent.WhichOneof("place") != "url":
        raise FieldError(f"{field}.url", "is missing; files come by their address")
    if sent.size >= 2**63:
        raise FieldError(f"{field}.size", f"is {sent.size}, which is no file's size")
    kind = _enum(f"{field}.kind", sent.kind, _ATTACHMENTS)
    return Attachment(kind, sent.mime, sent.name, sent.size, sent.url)


def _attachment_to(each: Attachment) -> form.Attachment:
    kind = f"ATTACHMENT_KIND_{each.kind.upper()}"
    place: dict[str, str] = {"url": each.url} if each.url else {"ref": each.ref}
    return form.Attachment(kind=kind, mime=each.mime, name=each.name, size=each.size, **place)


def _table(field: str, sent: Struct, levels: int) -> dict[str, Any]:
    return {key: _value(field, value, levels) for key, value in sent.fields.items()}


def _value(field: str, value: Value, levels: int) -> Any:
    if not levels:
        raise FieldError(field, f"is nested deeper than {MOST_LEVELS} levels")
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            # Protobuf has doubles alone; whole ones are the integers they were before, as far as those are exact.
            return int(number) if number.is_integer() and abs(number) <= 2**53 else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _table(field, value.struct_value, levels - 1)
        case "list_value":
            return [_value(field, each, levels - 1) for each in value.list_value.values]
        case _:
            return None
