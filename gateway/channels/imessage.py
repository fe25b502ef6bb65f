"""iMessage through a BlueBubbles server: what can be configured.

BlueBubbles posts `{type, data}` to a webhook without signature, id or retry, so the path carries
a secret and gaps are filled by polling its REST interface at `server_url`, which takes the
server's password. Needs a Mac that runs BlueBubbles.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.config.secret import Secret
from gateway.errors import SettingError

PLATFORM = "imessage"
UNREADY = "The iMessage adapter is not part of this version; keep the section, switched off, until it is."


class Settings(Struct, frozen=True, kw_only=True):
    """[channels.NAME] of type "imessage"."""

    server_url: str
    password: Secret
    path_secret: Secret
    allow_from: tuple[str, ...] = ("127.0.0.1", "::1")
    method: Literal["apple-script", "private-api"] = "apple-script"
    poll_seconds: Annotated[float, Meta(ge=5, le=3600)] = 60.0
    poll_limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    text_limit: Annotated[int, Meta(ge=100, le=20_000)] = 4000
    typing: bool = False

    def __post_init__(self) -> None:
        if not self.server_url.startswith(("http://", "https://")):
            wanted = 'the address of the BlueBubbles server, such as "http://192.0.2.10:1234"'
            raise SettingError("server_url", found=f'"{self.server_url}"', wanted=wanted)
        if self.typing and self.method != "private-api":
            wanted = 'false, or method = "private-api", which alone can show typing'
            raise SettingError("typing", found="true", wanted=wanted)
