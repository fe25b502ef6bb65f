"""The mutable draft of a message that a hook is given.

A hook may read and assign every field, the fields of `sender` and `conversation`, the list
of attachments and anything in `metadata`, and never touches the frozen message behind it.
Copies are made when something is first touched, so a hook that only reads costs next to nothing.
"""

from __future__ import annotations

from difflib import get_close_matches
from types import NoneType
from typing import Any

import msgspec

from gateway.errors import DraftError
from gateway.message.message import Attachment, Conversation, Message, Sender, nfc

_TYPES: dict[type, dict[str, Any]] = {
    struct: {field.name: field.type for field in msgspec.structs.fields(struct)}
    for struct in (Message, Sender, Conversation)
}
# A draft without origin is one that is being copied.
_TYPES[NoneType] = {}
_PARTS = (Sender, Conversation)
_CHANGEABLE = frozenset((*_PARTS, tuple, dict))
_FOREIGN = (TypeError, ValueError, OverflowError, RecursionError)


class Draft:
    """A message's fields, to be read and assigned; `finish` makes a frozen `Message` of them again.

    Reading or assigning a field that messages do not have raises `AttributeError` at once; a value
    of the wrong type is found by `finish`.
    """

    channel: str
    id: str
    platform: str
    type: str
    action: str
    content: str
    dedupe_key: str
    target_id: str
    mentions_me: bool
    attachments: list[Attachment]
    reply_to: str
    sent_at: float
    metadata: dict[str, Any]

    # Whether the message may have changed: a field was assigned, or a part handed out that can be changed in place.
    _open = False

    def __init__(self, origin: Message | Sender | Conversation) -> None:
        held = self.__dict__
        held["_origin"] = origin
        if origin.__class__ is Message:
            # Nearly every hook reads it, and to be asked for it costs ten times as much.
            held["content"] = origin.content

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not in __dict__ yet: everything touched once is kept there.
        held = self.__dict__
        origin: Any = held.get("_origin")
        if name not in _TYPES[origin.__class__]:
            raise AttributeError(_no_field(origin, name))
        value = getattr(origin, name)
        if value.__class__ in _CHANGEABLE:
            value = _lent(value)
            held["_open"] = True
        held[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _TYPES[self._origin.__class__]:
            raise AttributeError(_no_field(self._origin, name))
        self.__dict__[name] = value
        self.__dict__["_open"] = True

    def __repr__(self) -> str:
        origin = self._origin
        held = [pair for pair in self.__dict__.items() if pair[0] in _TYPES[origin.__class__]]
        touched = {name: value for name, value in held if value is not getattr(origin, name)}
        return f"Draft({self._origin!r}, touched={touched!r})"

    def finish(self) -> Message:
        """Return the message as the draft now is: the very same object when nothing was changed.

        Raises `DraftError` naming the field whose value is of the wrong type or cannot be stored.
        """
        finished: Message = _finish(self, "") if self._open else self._origin
        return finished


def verified(message: Message) -> Message:
    """Return a message that a hook built itself, after the checks of `Draft.finish`. Raises `DraftError`."""
    return msgspec.structs.replace(
        message, **{name: _checked(kind, getattr(message, name), name) for name, kind in _TYPES[Message].items()}
    )


def _lent(value: Any) -> Any:
    """Make of a part what a hook may change in place; a struct is drafted like the whole."""
    if isinstance(value, _PARTS):
        return Draft(value)
    return list(value) if isinstance(value, tuple) else _own(value)


def _own(value: Any) -> Any:
    """Copy what can be changed in place. Not `deepcopy`, which takes five times as long on a small dictionary."""
    match value:
        case dict():
            return {key: _own(inner) for key, inner in value.items()}
        case list():
            return [_own(inner) for inner in value]
        case tuple():
            return tuple(_own(inner) for inner in value)
        case _:
            return value


def _finish(draft: Draft, path: str) -> Any:
    origin, changes = draft._origin, {}
    types = _TYPES[origin.__class__]
    for name, value in draft.__dict__.items():
        if name not in types or value is (before := getattr(origin, name)):
            continue
        value = _finish(value, f"{path}{name}.") if isinstance(value, Draft) else value
        if value is not before:
            value = _checked(types[name], value, path + name)
            if value != before:
                changes[name] = value
    return msgspec.structs.replace(origin, **changes) if changes else origin


def _checked(kind: Any, value: Any, place: str) -> Any:
    try:
        value = msgspec.convert(value, kind)
        # What has no msgpack form could not be stored, and would only be found much later.
        msgspec.msgpack.encode(value)
    except _FOREIGN as error:
        raise DraftError(f"a hook left message.{place} as {_shown(value)}, which does not do: {error}.") from error
    return nfc(value) if place == "content" else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _no_field(origin: Any, name: str) -> str:
    known = _TYPES[origin.__class__]
    near = get_close_matches(name, known, 1)
    what = "message" if isinstance(origin, Message) else origin.__class__.__name__.lower()
    return f"a {what} has no '{name}'; " + (f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}.")
