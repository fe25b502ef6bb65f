"""Refuse or shorten messages whose text is too long, in the unit that matters downstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from gateway.errors import Reject, SettingError
from gateway.message.chunking import chunk, size
from gateway.message.draft import Draft

if TYPE_CHECKING:
    from gateway.ports import Kit


class Settings(Struct, frozen=True, kw_only=True):
    """`limit` counts `unit`s. A text that is shortened ends with `ending`, which counts along."""

    limit: Annotated[int, Meta(ge=1)] = 4000
    unit: Literal["points", "utf16", "bytes"] = "points"
    action: Literal["reject", "truncate"] = "reject"
    ending: str = "…"

    def __post_init__(self) -> None:
        if self.action == "truncate" and size(self.ending, self.unit) + 2 > self.limit:
            raise SettingError("ending", found=f"as long as the limit of {self.limit}", wanted="2 units shorter")


def build(settings: Settings, kit: Kit) -> Callable[[Draft], None]:
    """Return the hook."""
    limit, unit, ending = settings.limit, settings.unit, settings.ending
    room = limit - size(ending, unit) - 1

    def max_length(message: Draft) -> None:
        length = size(message.content, unit)
        if length <= limit:
            return
        if settings.action == "reject":
            raise Reject(f"the text has {length} {unit}, {limit} are allowed")
        pieces = chunk(message.content, room, unit)
        kept = pieces[0] if pieces else ""
        # Behind a closing code fence, on its line, the ending would open the code again.
        message.content = kept + ("\n" if kept.endswith(("```", "~~~")) else "") + ending

    return max_length
