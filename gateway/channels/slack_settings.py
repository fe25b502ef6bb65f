"""[channels.NAME] of type "slack": what an operator may say, and what is wrong with it.

`mode = "events"`: Slack calls this gateway over HTTPS and signs with the signing secret. `mode = "socket"`:
the gateway dials out with the app-level token and needs no public address. Either way replies go out with the
bot token.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.channels.allowed import BadUrl, Destinations, parse
from gateway.config.secret import Secret
from gateway.errors import SettingError, SettingErrors


class Settings(Struct, frozen=True, kw_only=True):
    """`file_hosts` are where files are taken from and sent to; the bot token goes nowhere else but to `base_url`."""

    bot_token: Secret
    mode: Literal["events", "socket"] = "events"
    signing_secret: Secret | None = None
    app_token: Secret | None = None
    base_url: str = "https://slack.com/api/"
    # Slack's own verifier allows five minutes.
    tolerance_seconds: Annotated[float, Meta(gt=0, le=300)] = 300.0
    body_bytes: Annotated[int, Meta(ge=1024, le=4 * 1024 * 1024)] = 1024 * 1024
    format: Literal["markdown", "mrkdwn", "plain"] = "markdown"
    # Slack cuts at 40,000 characters and refuses edits beyond 4,000.
    text_limit: Annotated[int, Meta(ge=100, le=4000)] = 4000
    reply_in_thread: bool = False
    answer_bots: bool = False
    stream: bool = True
    look_up: bool = True
    # About one message a second and channel, with short bursts; chat.update takes fifty a minute.
    message_seconds: Annotated[float, Meta(ge=0, le=60)] = 1.0
    burst: Annotated[int, Meta(ge=1, le=20)] = 3
    edit_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 1.2
    file_hosts: tuple[str, ...] = ("https://files.slack.com",)
    private_networks: tuple[str, ...] = ()
    file_bytes: Annotated[int, Meta(ge=0, le=1024 * 1024 * 1024)] = 25 * 1024 * 1024
    # The acknowledgement has to be there after three seconds.
    file_seconds: Annotated[float, Meta(ge=0, le=2.5)] = 2.0
    ping_seconds: Annotated[float, Meta(ge=1, le=300)] = 15.0

    def __post_init__(self) -> None:
        problems = [*self._who(), *self._where()]
        if problems:
            raise SettingErrors(problems)

    def _who(self) -> list[SettingError]:
        if self.mode == "events" and self.signing_secret is None:
            wanted = 'the app\'s signing secret, as mode is "events"'
            return [SettingError("signing_secret", found="missing", wanted=wanted)]
        if self.mode == "socket" and self.app_token is None:
            wanted = 'an app-level token (xapp-…) with connections:write, as mode is "socket"'
            return [SettingError("app_token", found="missing", wanted=wanted)]
        return []

    def _where(self) -> list[SettingError]:
        problems = []
        for place, url in (("base_url", self.base_url), *(("file_hosts", each) for each in self.file_hosts)):
            try:
                parse(url)
            except BadUrl as error:
                problems.append(SettingError(place, found=str(error), wanted="an absolute http or https URL"))
        if not problems and not self.base_url.endswith("/"):
            problems.append(SettingError("base_url", found=f'"{self.base_url}"', wanted="an address that ends in a /"))
        for network in self.private_networks:
            try:
                Destinations((), (network,))
            except ValueError as error:
                problems.append(
                    SettingError("private_networks", found=str(error), wanted="networks such as 10.1.0.0/16")
                )
        return problems
