import datetime

from gateway.api.v1 import message_pb2 as _message_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SendRequest(_message.Message):
    __slots__ = ("message", "wait")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    message: _message_pb2.Message
    wait: _duration_pb2.Duration
    def __init__(self, message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SendResponse(_message.Message):
    __slots__ = ("envelope_id", "duplicate", "replies", "rejected")
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    envelope_id: str
    duplicate: bool
    replies: Replies
    rejected: Rejection
    def __init__(self, envelope_id: _Optional[str] = ..., duplicate: _Optional[bool] = ..., replies: _Optional[_Union[Replies, _Mapping]] = ..., rejected: _Optional[_Union[Rejection, _Mapping]] = ...) -> None: ...

class Replies(_message.Message):
    __slots__ = ("replies",)
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[Reply]
    def __init__(self, replies: _Optional[_Iterable[_Union[Reply, _Mapping]]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("id", "envelope_id", "message", "incomplete")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    id: str
    envelope_id: str
    message: _message_pb2.Message
    incomplete: bool
    def __init__(self, id: _Optional[str] = ..., envelope_id: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., incomplete: _Optional[bool] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("envelope_id", "reason")
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    envelope_id: str
    reason: str
    def __init__(self, envelope_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ConverseRequest(_message.Message):
    __slots__ = ("hello", "message", "seen")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    message: Outgoing
    seen: Seen
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., message: _Optional[_Union[Outgoing, _Mapping]] = ..., seen: _Optional[_Union[Seen, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("after", "conversation_ids", "confirms")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_IDS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMS_FIELD_NUMBER: _ClassVar[int]
    after: int
    conversation_ids: _containers.RepeatedScalarFieldContainer[str]
    confirms: bool
    def __init__(self, after: _Optional[int] = ..., conversation_ids: _Optional[_Iterable[str]] = ..., confirms: _Optional[bool] = ...) -> None: ...

class Outgoing(_message.Message):
    __slots__ = ("ref", "message")
    REF_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    message: _message_pb2.Message
    def __init__(self, ref: _Optional[str] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ...) -> None: ...

class Seen(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class ConverseResponse(_message.Message):
    __slots__ = ("ready", "accepted", "refused", "event")
    READY_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ready: Ready
    accepted: Accepted
    refused: Refused
    event: Event
    def __init__(self, ready: _Optional[_Union[Ready, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("sequence", "recovered")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    recovered: bool
    def __init__(self, sequence: _Optional[int] = ..., recovered: _Optional[bool] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("ref", "envelope_id", "duplicate")
    REF_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ref: str
    envelope_id: str
    duplicate: bool
    def __init__(self, ref: _Optional[str] = ..., envelope_id: _Optional[str] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("ref", "code", "reason", "retry_after")
    REF_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    ref: str
    code: int
    reason: str
    retry_after: _duration_pb2.Duration
    def __init__(self, ref: _Optional[str] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("after", "skip_missing", "conversation_ids")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SKIP_MISSING_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_IDS_FIELD_NUMBER: _ClassVar[int]
    after: int
    skip_missing: bool
    conversation_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, after: _Optional[int] = ..., skip_missing: _Optional[bool] = ..., conversation_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("sequence", "at", "reply", "piece")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    at: _timestamp_pb2.Timestamp
    reply: Reply
    piece: ReplyPiece
    def __init__(self, sequence: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reply: _Optional[_Union[Reply, _Mapping]] = ..., piece: _Optional[_Union[ReplyPiece, _Mapping]] = ...) -> None: ...

class ReplyPiece(_message.Message):
    __slots__ = ("id", "envelope_id", "index", "text")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    envelope_id: str
    index: int
    text: str
    def __init__(self, id: _Optional[str] = ..., envelope_id: _Optional[str] = ..., index: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...
