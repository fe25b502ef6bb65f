"""DingTalk robots: what can be configured.

`mode = "stream"` opens a WebSocket to DingTalk with the app's key and secret and needs no public
address; `mode = "webhook"` is called over HTTP, where the `sign` header covers the timestamp alone: the
body is not signed, so `skew_seconds` bounds replays and messages are deduplicated for
longer. Replies go to the message's sessionWebhook, only on `reply_hosts`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.config.secret import Secret
from gateway.errors import SettingError

PLATFORM = "dingtalk"
UNREADY = "The DingTalk adapter is not part of this version; keep the section, switched off, until it is."


class Settings(Struct, frozen=True, kw_only=True):
    """[channels.NAME] of type "dingtalk"."""

    app_key: str
    app_secret: Secret
    robot_code: str = ""
    mode: Literal["stream", "webhook"] = "stream"
    api_url: str = "https://api.dingtalk.com"
    reply_hosts: tuple[str, ...] = ("dingtalk.com",)
    reply_format: Literal["text", "markdown"] = "text"
    skew_seconds: Annotated[int, Meta(ge=60, le=3600)] = 3600
    messages_per_minute: Annotated[int, Meta(ge=1, le=1000)] = 20

    def __post_init__(self) -> None:
        if not self.app_key:
            raise SettingError("app_key", found="empty", wanted="the AppKey (client id) of the robot's app")
        if not self.api_url.startswith(("http://", "https://")):
            raise SettingError("api_url", found=f'"{self.api_url}"', wanted="an address that starts with https://")
