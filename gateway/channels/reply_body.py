"""Write the JSON body of an outgoing webhook from the operator's template.

A template is a TOML table whose texts may be names of values, `$text` or `$id`; `$$` begins a
text that really starts with a dollar. It is compiled once; the order of keys is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from gateway.message.message import Message

# The payload that Standard Webhooks recommends: type, timestamp, data.
STANDARD: dict[str, Any] = {
    "type": "message.reply",
    "timestamp": "$timestamp",
    "data": {
        "id": "$delivery_id",
        "in_reply_to": "$id",
        "text": "$text",
        "conversation": "$conversation",
        "thread": "$thread",
        "attachments": "$attachments",
    },
}


class Telling(Struct, frozen=True):
    """What a template may speak of. `source_id` is the answered payload's id, as it came."""

    message: Message
    delivery_id: str
    created_at: float
    source_id: Any


class UnknownValue(ValueError):
    """A template names a value that does not exist."""


Part = Callable[[Telling], Any]

VALUES: dict[str, Part] = {
    "id": attrgetter("source_id"),
    "text": attrgetter("message.content"),
    "type": attrgetter("message.type"),
    "delivery_id": attrgetter("delivery_id"),
    "channel": attrgetter("message.channel"),
    "conversation": attrgetter("message.conversation.id"),
    "thread": attrgetter("message.conversation.thread"),
    "in_reply_to": attrgetter("message.reply_to"),
    "attachments": lambda told: [msgspec.to_builtins(each) for each in told.message.attachments],
    "timestamp": lambda told: datetime.fromtimestamp(told.created_at, UTC).isoformat().replace("+00:00", "Z"),
}


class ReplyBody:
    """The compiled template of one channel."""

    def __init__(self, template: Mapping[str, Any]) -> None:
        """Compile. Raises UnknownValue."""
        self._part = _compile(dict(template))

    def fill(self, told: Telling) -> Any:
        """Return the body as plain JSON values."""
        return self._part(told)

    def write(self, told: Telling) -> bytes:
        """Return the body as JSON, the same bytes at every attempt."""
        return msgspec.json.encode(self._part(told))


def _compile(value: Any) -> Part:
    if isinstance(value, dict):
        parts = [(key, _compile(each)) for key, each in value.items()]
        return lambda told: {key: part(told) for key, part in parts}
    if isinstance(value, list | tuple):
        items = [_compile(each) for each in value]
        return lambda told: [item(told) for item in items]
    if isinstance(value, str) and value.startswith("$"):
        return _named(value[1:])
    return lambda told: value


def _named(name: str) -> Part:
    if name.startswith("$"):
        return lambda told: name
    if name not in VALUES:
        raise UnknownValue(f"${name} is not known; there are " + ", ".join(f"${known}" for known in VALUES))
    return VALUES[name]
