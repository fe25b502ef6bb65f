"""What happens on a gRPC channel, before it is put into protobuf: replies, and pieces of replies."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import Struct

from gateway.message.message import Message


class ReplySaid(Struct, frozen=True, kw_only=True):
    """A whole reply under its delivery's id; `sequence` is 0 when it was cut short and is not kept."""

    id: str
    envelope_id: str
    message: Message
    at: float
    sequence: int = 0
    incomplete: bool = False


class PieceSaid(Struct, frozen=True, kw_only=True):
    """A piece of a reply that is being written."""

    id: str
    envelope_id: str
    conversation: str
    at: float
    index: int
    text: str


ChannelEvent = ReplySaid | PieceSaid


def conversation_of(event: ChannelEvent) -> str:
    """Return which conversation an event is about."""
    return event.message.conversation.id if isinstance(event, ReplySaid) else event.conversation


def size_of(event: ChannelEvent) -> int:
    """Return how many characters an event holds."""
    return len(event.message.content) if isinstance(event, ReplySaid) else len(event.text)


def only(conversations: Collection[str]) -> Callable[[ChannelEvent], bool]:
    """Pick the events of these conversations, all when there are none."""
    wanted = frozenset(conversations)
    return lambda event: not wanted or conversation_of(event) in wanted
