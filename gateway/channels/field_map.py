"""Read a message out of any JSON payload: which value is the text, which the sender, which the chat.

The operator names the places by JSON pointers (RFC 6901); they are taken apart once, when the
channel is built. What a pointer takes leaves the payload, and the rest becomes the message's
metadata. A value of the wrong kind is answered with its pointer, what was found and what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, get_args

import msgspec
from msgspec import Struct

from gateway.message.message import (
    Attachment,
    Conversation,
    ConversationKind,
    Message,
    MessageAction,
    MessageType,
    Sender,
    nfc,
)

# Far more than a person says at once or a platform names a thing with; bounds what is sealed and logged.
_LONGEST_NAME = 1024
# Deeper than any platform nests; the encoder of records gives up at a thousand.
MOST_LEVELS = 200
# 2001-09-09 in milliseconds, 33658 AD in seconds: larger numbers are milliseconds.
_MILLISECONDS_FROM = 1e12
_LATEST = 253_402_300_799.0  # 9999-12-31T23:59:59Z, the last second `datetime` can show
_TYPES = frozenset(get_args(MessageType))
_ABSENT: Any = object()

Steps = tuple[str, ...]


class Misfit(Struct, frozen=True):
    """A value that cannot be used, told in terms its sender understands."""

    pointer: str
    found: str
    wanted: str


class BadPointer(ValueError):
    """A setting is not a JSON pointer."""


class _Wrong(Exception):
    """Carries what was wanted out of a converter."""


class Place(Struct, frozen=True):
    """One field: where it stands, what makes it usable, and where in the message it goes."""

    field: str
    pointer: str
    way: Steps
    key: str
    convert: Callable[[Any], Any]
    # A text of usual length needs no converting.
    plain: bool
    # The JSON types that leave the payload.
    taken: frozenset[type]
    part: int
    argument: str


class Found(Struct):
    """What a payload says, as the arguments of the values that become the message."""

    message: dict[str, Any]
    sender: dict[str, Any]
    conversation: dict[str, Any]
    reply: dict[str, Any]


class FieldMap:
    """The compiled mapping of one channel."""

    def __init__(self, fields: Mapping[str, str], required: tuple[str, ...] = ()) -> None:
        """Compile `fields` (field name to pointer). Raises BadPointer, KeyError for an unknown field."""
        named = [(field, pointer) for field, pointer in fields.items() if pointer]
        self._places = tuple(
            _place(field, pointer, [later for _, later in named[at:]]) for at, (field, pointer) in enumerate(named, 1)
        )
        self._required = frozenset(required)

    def read(self, payload: dict[str, Any]) -> Found | Misfit:
        """Take the mapped values out of `payload`, converted. Never raises, whatever JSON it is given."""
        parts: tuple[dict[str, Any], ...] = ({}, {}, {}, {})
        for place in self._places:
            holder = _follow(payload, place.way) if place.way else payload
            if type(holder) is dict:
                value = holder.get(place.key, _ABSENT)
                if type(value) in place.taken:
                    del holder[place.key]
            else:
                value = _step(holder, place.key)
            if value is None or value is _ABSENT:
                if place.field in self._required:
                    return Misfit(place.pointer, "null" if value is None else "missing", _WANTED[place.field])
                continue
            if not (place.plain and type(value) is str and len(value) <= _LONGEST_NAME):
                try:
                    value = place.convert(value)
                except _Wrong as wrong:
                    return Misfit(place.pointer, describe(value), str(wrong))
            parts[place.part][place.argument] = value
        return Found(*parts)


def message_of(found: Found, *, channel: str, platform: str, dedupe_key: str, rest: dict[str, Any]) -> Message:
    """Make the message. Without a chat of its own, a sender's messages are one conversation with that sender."""
    said, sender, conversation = found.message, found.sender, found.conversation
    if "id" in sender and "id" not in conversation:
        conversation["id"] = sender["id"]
    return Message(
        channel=channel,
        platform=platform,
        sender=Sender(**sender),
        conversation=Conversation(**conversation),
        dedupe_key=dedupe_key or _event_key(said),
        metadata=rest,
        **said,
    )


def _event_key(said: Mapping[str, Any]) -> str:
    """Tell an event again by the message's id; edits and deletes bear the id of the message that they are about."""
    of, action = said.get("id", ""), said.get("action", "new")
    if not of or action == "new":
        return str(of)
    text = blake2b(said.get("content", "").encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{of}/{action}/{said.get('sent_at', 0)}/{text}"


def parse_pointer(pointer: str) -> Steps:
    """Split a JSON pointer (RFC 6901, section 4). Raises BadPointer."""
    if not pointer.startswith("/"):
        raise BadPointer(f'"{pointer[:80]}", which does not begin with /')
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))


def look(payload: Any, steps: Steps) -> Any:
    """Return the value at `steps`, None when there is none."""
    found = _follow(payload, steps)
    return None if found is _ABSENT else found


def unkeepable(value: Any, *, levels: int = MOST_LEVELS) -> str | None:
    """Return the pointer of the first value that no record can hold, None when all can. Never raises."""
    if type(value) is int:
        return None if -(2**63) <= value < 2**64 else ""
    if type(value) not in (dict, list):
        return None
    if not levels:
        return ""
    for key, inner in value.items() if type(value) is dict else enumerate(value):
        pointer = unkeepable(inner, levels=levels - 1)
        if pointer is not None:
            return f"/{str(key).replace('~', '~0').replace('/', '~1')}{pointer}"
    return None


def describe(value: Any) -> str:
    """Name a JSON value in a few words, for an error's reader."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value[:40]!r}" + ("…" if len(value) > 40 else "")
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"


def _place(field: str, pointer: str, later: Sequence[str]) -> Place:
    """Compile one field. What a `later` one reads, too, is left in the payload for it."""
    *way, key = parse_pointer(pointer)
    convert = _CONVERT[field]
    part, argument = _ARGUMENTS.get(field, (_MESSAGE, field))
    shared = any(f"{each}/".startswith(f"{pointer}/") or f"{pointer}/".startswith(f"{each}/") for each in later)
    taken: frozenset[type] = frozenset() if shared else _TAKEN.get(field, _ANY)
    return Place(field, pointer, tuple(way), key, convert, convert is _name, taken, part, argument)


def _follow(value: Any, way: Steps) -> Any:
    for step in way:
        value = _step(value, step)
    return value


def _step(value: Any, step: str) -> Any:
    if type(value) is dict:
        return value.get(step, _ABSENT)
    if type(value) is list and step.isascii() and step.isdigit() and len(step) < 8 and int(step) < len(value):
        return value[int(step)]
    return _ABSENT


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _Wrong(_WANTED["text"])
    return nfc(value)


def _name(value: Any) -> str:
    if type(value) is str and len(value) <= _LONGEST_NAME:
        return value
    if type(value) is int and -(2**63) <= value < 2**64:
        return str(value)
    raise _Wrong(_WANTED["id"])


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise _Wrong("true or false")
    return value


def _type(value: Any) -> str:
    if type(value) is not str:
        raise _Wrong(_WANTED["type"])
    # Event names such as "invoice.paid" are events; the rules read the name in the metadata.
    return value if value in _TYPES else "event"


def _one_of(options: tuple[str, ...]) -> Callable[[Any], str]:
    wanted = "one of " + ", ".join(options)

    def convert(value: Any) -> str:
        if type(value) is not str or value not in options:
            raise _Wrong(wanted)
        return value

    return convert


def _moment(value: Any) -> float:
    if type(value) is str:
        try:
            at = datetime.fromisoformat(value)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError) as error:
            raise _Wrong(_WANTED["sent_at"]) from error
    if type(value) not in (int, float) or not 0 <= value <= _LATEST * 1000:
        raise _Wrong(_WANTED["sent_at"])
    return value / 1000 if value >= _MILLISECONDS_FROM else float(value)


def _attachments(value: Any) -> tuple[Attachment, ...]:
    try:
        return msgspec.convert(value, tuple[Attachment, ...])
    except (msgspec.ValidationError, OverflowError) as error:
        raise _Wrong(f"an array of {{kind, mime, name, size, url}}: {error}") from error


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "id": _name,
    "text": _text,
    "type": _type,
    "action": _one_of(get_args(MessageAction)),
    "target_id": _name,
    "sender_id": _name,
    "sender_name": _name,
    "sender_is_bot": _truth,
    "conversation": _name,
    "conversation_kind": _one_of(get_args(ConversationKind)),
    "conversation_title": _name,
    "thread": _name,
    "mentions_me": _truth,
    "in_reply_to": _name,
    "sent_at": _moment,
    "attachments": _attachments,
    "reply_to": _name,
}
FIELDS = tuple(_CONVERT)
_ANY: frozenset[type] = frozenset((str, int, float, bool, dict, list, type(None)))
# What stays is readable in the metadata: the reply goes to the address, names a numeric id as it came,
# and the rules tell events apart by names that are no type of ours.
_TAKEN: dict[str, frozenset[type]] = {"id": frozenset((str,)), "type": frozenset(), "reply_to": frozenset()}
# In the order of `Found`; a field that is not listed is an argument of the message under its own name.
_MESSAGE, _SENDER, _CONVERSATION, _REPLY = range(4)
_ARGUMENTS: dict[str, tuple[int, str]] = {
    "text": (_MESSAGE, "content"),
    "in_reply_to": (_MESSAGE, "reply_to"),
    "sender_id": (_SENDER, "id"),
    "sender_name": (_SENDER, "name"),
    "sender_is_bot": (_SENDER, "is_bot"),
    "conversation": (_CONVERSATION, "id"),
    "conversation_kind": (_CONVERSATION, "kind"),
    "conversation_title": (_CONVERSATION, "title"),
    "thread": (_CONVERSATION, "thread"),
    "reply_to": (_REPLY, "to"),
}
_WANTED: dict[str, str] = {
    **dict.fromkeys(FIELDS, f"a text of at most {_LONGEST_NAME} characters, or a whole number"),
    "text": "a text",
    "type": "a text",
    "sent_at": "a time: seconds or milliseconds since 1970, or ISO 8601 as in 2026-01-31T12:00:00Z",
    "sender_is_bot": "true or false",
    "mentions_me": "true or false",
    "attachments": "an array of {kind, mime, name, size, url}",
}
