import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MessageType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_TYPE_UNSPECIFIED: _ClassVar[MessageType]
    MESSAGE_TYPE_TEXT: _ClassVar[MessageType]
    MESSAGE_TYPE_IMAGE: _ClassVar[MessageType]
    MESSAGE_TYPE_AUDIO: _ClassVar[MessageType]
    MESSAGE_TYPE_VIDEO: _ClassVar[MessageType]
    MESSAGE_TYPE_FILE: _ClassVar[MessageType]
    MESSAGE_TYPE_LOCATION: _ClassVar[MessageType]
    MESSAGE_TYPE_STICKER: _ClassVar[MessageType]
    MESSAGE_TYPE_REACTION: _ClassVar[MessageType]
    MESSAGE_TYPE_COMMAND: _ClassVar[MessageType]
    MESSAGE_TYPE_EVENT: _ClassVar[MessageType]

class MessageAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_ACTION_UNSPECIFIED: _ClassVar[MessageAction]
    MESSAGE_ACTION_NEW: _ClassVar[MessageAction]
    MESSAGE_ACTION_EDIT: _ClassVar[MessageAction]
    MESSAGE_ACTION_DELETE: _ClassVar[MessageAction]

class ConversationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONVERSATION_KIND_UNSPECIFIED: _ClassVar[ConversationKind]
    CONVERSATION_KIND_DIRECT: _ClassVar[ConversationKind]
    CONVERSATION_KIND_GROUP: _ClassVar[ConversationKind]
    CONVERSATION_KIND_CHANNEL: _ClassVar[ConversationKind]

class AttachmentKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTACHMENT_KIND_UNSPECIFIED: _ClassVar[AttachmentKind]
    ATTACHMENT_KIND_IMAGE: _ClassVar[AttachmentKind]
    ATTACHMENT_KIND_AUDIO: _ClassVar[AttachmentKind]
    ATTACHMENT_KIND_VIDEO: _ClassVar[AttachmentKind]
    ATTACHMENT_KIND_FILE: _ClassVar[AttachmentKind]
    ATTACHMENT_KIND_STICKER: _ClassVar[AttachmentKind]
MESSAGE_TYPE_UNSPECIFIED: MessageType
MESSAGE_TYPE_TEXT: MessageType
MESSAGE_TYPE_IMAGE: MessageType
MESSAGE_TYPE_AUDIO: MessageType
MESSAGE_TYPE_VIDEO: MessageType
MESSAGE_TYPE_FILE: MessageType
MESSAGE_TYPE_LOCATION: MessageType
MESSAGE_TYPE_STICKER: MessageType
MESSAGE_TYPE_REACTION: MessageType
MESSAGE_TYPE_COMMAND: MessageType
MESSAGE_TYPE_EVENT: MessageType
MESSAGE_ACTION_UNSPECIFIED: MessageAction
MESSAGE_ACTION_NEW: MessageAction
MESSAGE_ACTION_EDIT: MessageAction
MESSAGE_ACTION_DELETE: MessageAction
CONVERSATION_KIND_UNSPECIFIED: ConversationKind
CONVERSATION_KIND_DIRECT: ConversationKind
CONVERSATION_KIND_GROUP: ConversationKind
CONVERSATION_KIND_CHANNEL: ConversationKind
ATTACHMENT_KIND_UNSPECIFIED: AttachmentKind
ATTACHMENT_KIND_IMAGE: AttachmentKind
ATTACHMENT_KIND_AUDIO: AttachmentKind
ATTACHMENT_KIND_VIDEO: AttachmentKind
ATTACHMENT_KIND_FILE: AttachmentKind
ATTACHMENT_KIND_STICKER: AttachmentKind

class Message(_message.Message):
    __slots__ = ("id", "channel", "platform", "type", "action", "content", "sender", "conversation", "dedupe_key", "target_id", "reply_to", "mentions_me", "attachments", "sent_at", "metadata")
    ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    DEDUPE_KEY_FIELD_NUMBER: _ClassVar[int]
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    MENTIONS_ME_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    channel: str
    platform: str
    type: MessageType
    action: MessageAction
    content: str
    sender: Sender
    conversation: Conversation
    dedupe_key: str
    target_id: str
    reply_to: str
    mentions_me: bool
    attachments: _containers.RepeatedCompositeFieldContainer[Attachment]
    sent_at: _timestamp_pb2.Timestamp
    metadata: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., channel: _Optional[str] = ..., platform: _Optional[str] = ..., type: _Optional[_Union[MessageType, str]] = ..., action: _Optional[_Union[MessageAction, str]] = ..., content: _Optional[str] = ..., sender: _Optional[_Union[Sender, _Mapping]] = ..., conversation: _Optional[_Union[Conversation, _Mapping]] = ..., dedupe_key: _Optional[str] = ..., target_id: _Optional[str] = ..., reply_to: _Optional[str] = ..., mentions_me: _Optional[bool] = ..., attachments: _Optional[_Iterable[_Union[Attachment, _Mapping]]] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Sender(_message.Message):
    __slots__ = ("id", "name", "is_bot")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_BOT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    is_bot: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., is_bot: _Optional[bool] = ...) -> None: ...

class Conversation(_message.Message):
    __slots__ = ("id", "kind", "thread", "title")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    THREAD_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: ConversationKind
    thread: str
    title: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[ConversationKind, str]] = ..., thread: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class Attachment(_message.Message):
    __slots__ = ("kind", "mime", "name", "size", "url", "ref")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MIME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    kind: AttachmentKind
    mime: str
    name: str
    size: int
    url: str
    ref: str
    def __init__(self, kind: _Optional[_Union[AttachmentKind, str]] = ..., mime: _Optional[str] = ..., name: _Optional[str] = ..., size: _Optional[int] = ..., url: _Optional[str] = ..., ref: _Optional[str] = ...) -> None: ...
