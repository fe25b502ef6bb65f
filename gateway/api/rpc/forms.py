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

# What a google.protobuf.Timestamp may be: the years 1 to 9999.
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0
_TYPES: tuple[MessageType, ...] = (
    "text", "text", "image", "audio", "video", "file", "location", "sticker", "reaction", "command", "event",
)  # fmt: skip
_ACTIONS: tuple[MessageAction, ...] = ("new", "new", "edit", "delete")
_CONVERSATIONS: tuple[ConversationKind, ...] = ("direct", "direct", "group", "channel")
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
    who, where = message.sender, message.conversation
    written = form.Message(
        id=message.id,
        channel=message.channel,
        platform=message.platform,
        type=f"MESSAGE_TYPE_{message.type.upper()}",
        action=f"MESSAGE_ACTION_{message.action.upper()}",
        content=message.content,
        conversation=form.Conversation(
            id=where.id,
            kind=f"CONVERSATION_KIND_{where.kind.upper()}",
            thread=where.thread,
            title=where.title,
        ),
        dedupe_key=message.dedupe_key,
        target_id=message.target_id,
        reply_to=message.reply_to,
        mentions_me=message.mentions_me,
        attachments=[_attachment_to(each) for each in message.attachments],
    )
    if who.id or who.name:
        written.sender.CopyFrom(form.Sender(id=who.id, name=who.name, is_bot=who.is_bot))
    if message.sent_at:
        written.sent_at.CopyFrom(moment(message.sent_at))
    theirs = {key: value for key, value in message.metadata.items() if key != OURS}
    if theirs:
        written.metadata.CopyFrom(struct_to(theirs))
    return written


def event_to(event: ChannelEvent) -> pb.Event:
    """Write something that happened on a channel."""
    at = moment(event.at)
    if isinstance(event, ReplySaid):
        return pb.Event(sequence=event.sequence, at=at, reply=reply_to(event))
    piece = pb.ReplyPiece(id=event.id, envelope_id=event.envelope_id, index=event.index, text=event.text)
    return pb.Event(at=at, piece=piece)


def reply_to(said: ReplySaid) -> pb.Reply:
    """Write a reply."""
    return pb.Reply(
        id=said.id, envelope_id=said.envelope_id, message=message_to(said.message), incomplete=said.incomplete
    )


def moment(seconds: float) -> Timestamp:
    """Write a moment in epoch seconds; one beyond what a timestamp may be (years 1 to 9999) is none."""
    if not _FIRST <= seconds <= _LAST:
        return Timestamp()
    whole = int(seconds // 1)
    return Timestamp(seconds=whole, nanos=int((seconds - whole) * 1e9))


def struct_to(table: Mapping[str, Any]) -> Struct:
    """Write plain values; what JSON has no form for is written as text."""
    written = Struct()
    written.update(msgspec.json.decode(encode_json(table, enc_hook=str)))
    return written


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
