"""[channels.NAME] of type "grpc": who may speak for the channel, and what one client may cost."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.config.secret import Secret
from gateway.errors import SettingError


class Settings(Struct, frozen=True, kw_only=True):
    """`tokens` names programs by their tokens; each of them speaks for the whole channel."""

    tokens: dict[str, Secret]
    # An honest client sends its hello with its call.
    hello_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    # A pod that is restarted comes back within a minute; at 20 replies a second it has missed this many.
    kept_replies: Annotated[int, Meta(ge=1, le=65_536)] = 1024
    # All that a client may have missed, and as much again that is being said while it reads.
    queued_events: Annotated[int, Meta(ge=64, le=131_072)] = 4096

    def __post_init__(self) -> None:
        if not self.tokens:
            raise SettingError("tokens", found="empty", wanted="at least one program's token")
        if self.queued_events < 2 * self.kept_replies:
            wanted = "at least twice kept_replies, or a client that returns is sent away again"
            raise SettingError("queued_events", found=str(self.queued_events), wanted=wanted)
