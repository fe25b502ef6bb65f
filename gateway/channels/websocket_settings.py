"""[channels.NAME] of type "websocket": who may connect, and what one connection may cost."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.channels.trust import LOCAL_HOSTS
from gateway.config.secret import Secret
from gateway.errors import SettingError

# The name of programs on this machine that need no token.
LOCAL = "local"


class Settings(Struct, frozen=True, kw_only=True):
    """`tokens` names each client by its token: the name is the sender's id and keeps conversations apart."""

    tokens: dict[str, Secret] = {}
    local: bool = False
    hosts: tuple[str, ...] = LOCAL_HOSTS
    origins: tuple[str, ...] = ()
    # An honest client sends its hello at once; a phone on a bad line within a second.
    hello_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    ping_seconds: Annotated[float, Meta(ge=1, le=300)] = 20.0
    # A long message is a few KB, and files come by URL.
    frame_bytes: Annotated[int, Meta(ge=1024, le=4 * 1024 * 1024)] = 1024 * 1024
    # A streamed reply of 2,000 tokens in pieces of eight; a reader slower than that is sent away.
    queued_frames: Annotated[int, Meta(ge=8, le=65_536)] = 256

    def __post_init__(self) -> None:
        if not self.tokens and not self.local:
            raise SettingError("tokens", found="empty", wanted="at least one client's token, or local = true")
        if any(not name or "/" in name or name == LOCAL for name in self.tokens):
            wanted = f'names of clients, without "/", and not "{LOCAL}"'
            raise SettingError("tokens", found=", ".join(self.tokens), wanted=wanted)
