"""Let through only the senders and conversations that are listed, by exact id or with * and ?.

A message passes when its sender or its conversation is listed; whoever wants both, lists two
of these hooks. The patterns run on RE2, in time that only grows with the id's length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gateway.errors import Reject, SettingError
from gateway.message.draft import Draft

if TYPE_CHECKING:
    from gateway.ports import Kit


class Settings(Struct, frozen=True, kw_only=True):
    """Ids as the platform gives them (`oclaw tail` shows them); `*` stands for anything, `?` for one character."""

    senders: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.senders or self.conversations):
            raise SettingError(
                "senders", found="empty, and so is conversations", wanted="a list of who may speak, or nobody could"
            )


def build(settings: Settings, kit: Kit) -> Callable[[Draft], None]:
    """Return the hook."""
    sender_listed, conversation_listed = _listed(settings.senders), _listed(settings.conversations)

    def allowlist(message: Draft) -> None:
        if not (sender_listed(message.sender.id) or conversation_listed(message.conversation.id)):
            raise Reject("neither the sender nor the conversation is on the list of those who may speak")

    return allowlist


def _listed(entries: Sequence[str]) -> Callable[[str], bool]:
    exact = frozenset(entry for entry in entries if not _is_pattern(entry))
    patterns = [_pattern(entry) for entry in entries if _is_pattern(entry)]
    return lambda id: id in exact or any(pattern.fullmatch(id) for pattern in patterns)


def _is_pattern(entry: str) -> bool:
    return "*" in entry or "?" in entry


def _pattern(entry: str) -> Any:
    import re2

    return re2.compile("(?s)" + re2.escape(entry).replace(r"\*", ".*").replace(r"\?", "."))
