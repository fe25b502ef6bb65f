"""The words that WebSocket clients and the gateway exchange: JSON text frames `{v, type, id, seq, ts, data}`.

Pure. From a client: hello, message, ack, ping. To a client: welcome, ack, busy, error, reply,
reply.start, reply.delta, reply.end, pong. README.md beside this file shows a conversation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.message.message import Attachment, Message

VERSION = 1
_END_OF_TIME = 253_402_300_800.0  # the year 10000, which no date and no protobuf timestamp can write
T = TypeVar("T")
Id = Annotated[str, Meta(max_length=128)]
Word = Literal["welcome", "ack", "busy", "error", "reply", "reply.start", "reply.delta", "reply.end", "pong"]


class Frame(Struct, frozen=True):
    """One frame of a client's. `seq` counts only in an ack: every reply up to it has arrived."""

    v: Literal[1]
    type: Annotated[str, Meta(max_length=32)]
    id: Id = ""
    seq: int = 0
    ts: float = 0.0
    data: dict[str, Any] = {}

    @property
    def sent_at(self) -> float:
        """When it was sent; 0 when the client's clock says what is no moment of the calendar."""
        return self.ts if 0.0 <= self.ts < _END_OF_TIME else 0.0


class Hello(Struct, frozen=True):
    """The first frame. `last` is the last seq seen; with `acks` a reply counts as delivered when it is acked."""

    token: Annotated[str, Meta(max_length=4096)] = ""
    conversation: Annotated[str, Meta(min_length=1, max_length=128)] = "main"
    name: Annotated[str, Meta(max_length=128)] = ""
    last: int | None = None
    acks: bool = False


class Say(Struct, frozen=True):
    """What a message frame holds."""

    text: str
    reply_to: Id = ""
    attachments: tuple[Attachment, ...] = ()
    metadata: dict[str, Any] = {}


class NotAFrame(ValueError):
    """Nothing one could answer: the connection is closed with `code` (RFC 6455, section 7.4.1)."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


class BadFrame(ValueError):
    """A frame with a wrong field; the message names it. `code` closes a connection that begins with one."""

    code = 1008

    def __init__(self, why: str, id: str = "") -> None:
        super().__init__(why)
        self.id = id


_frame = msgspec.json.Decoder(Frame)


def read_frame(received: str | bytes) -> Frame:
    """Decode a frame. Raises NotAFrame or BadFrame."""
    if isinstance(received, bytes):
        raise NotAFrame("only text frames are spoken here", 1003)
    try:
        return _frame.decode(received)
    except msgspec.ValidationError as error:
        raise BadFrame(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise NotAFrame(f"not JSON: {error}", 1007) from error


def read_hello(frame: Frame) -> Hello:
    """Take the hello out of a client's first frame. Raises BadFrame."""
    if frame.type != "hello":
        raise BadFrame(f"The first frame is {frame.type!r}; it must be hello.", frame.id)
    return _data(frame, Hello)


def read_say(frame: Frame) -> Say:
    """Take what was said out of a message frame. Raises BadFrame."""
    if not frame.id:
        raise BadFrame("A message needs an id of its own: it is acknowledged and known again by it.")
    return _data(frame, Say)


def write_frame(type: Word, *, ts: float, id: str = "", seq: int = 0, data: dict[str, Any] | None = None) -> str:
    """Encode a frame; what is empty is left out."""
    frame: dict[str, Any] = {"v": VERSION, "type": type}
    if id:
        frame["id"] = id
    if seq:
        frame["seq"] = seq
    frame["ts"] = ts
    if data is not None:
        frame["data"] = data
    return msgspec.json.encode(frame).decode()


def reply_data(message: Message) -> dict[str, Any]:
    """Say what a reply holds."""
    data: dict[str, Any] = {"text": message.content, "in_reply_to": message.reply_to}
    if message.attachments:
        data["attachments"] = [msgspec.to_builtins(each) for each in message.attachments]
    return data


def _data(frame: Frame, kind: type[T]) -> T:
    try:
        return msgspec.convert(frame.data, kind)
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        raise BadFrame(f"data: {error}", frame.id) from error
