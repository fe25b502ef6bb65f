"""[channels.NAME] of type "irc": which network, who we are there, where we listen."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from gateway.config.secret import Secret
from gateway.errors import SettingError, SettingErrors

_NICK = re.compile(r"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]{0,29}")
# A channel name, and its key behind a space where it has one.
_CHANNEL = re.compile(r"[#&+!][^ ,:\x07\r\n\0]{1,63}( [^ ,\r\n\0]{1,50})?")
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Settings(Struct, frozen=True, kw_only=True):
    """What can be configured."""

    host: Annotated[str, Meta(min_length=1)]
    nick: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 6697
    tls: bool = True
    tls_authority: str = ""
    username: str = ""
    realname: str = "oclaw gateway"
    channels: tuple[str, ...] = ()
    sasl_user: str = ""
    sasl_password: Secret | None = None
    password: Secret | None = None
    answer_bots: bool = False
    name_sender: bool = True
    formatting: bool = True
    burst_lines: Annotated[int, Meta(ge=1, le=20)] = 4
    seconds_per_line: Annotated[float, Meta(ge=0, le=60)] = 2.0
    ping_seconds: Annotated[float, Meta(ge=5, le=600)] = 60.0
    patience_seconds: Annotated[float, Meta(ge=1, le=300)] = 30.0

    def __post_init__(self) -> None:
        problems = []
        if not _NICK.fullmatch(self.nick):
            wanted = "1 to 30 letters, digits or []\\`_^{|}-, not beginning with a digit or -"
            problems.append(SettingError("nick", found=f'"{self.nick}"', wanted=wanted))
        if self.username and not re.fullmatch(r"[A-Za-z0-9_.-]{1,10}", self.username):
            wanted = "1 to 10 letters, digits or _.-"
            problems.append(SettingError("username", found=f'"{self.username}"', wanted=wanted))
        for index, channel in enumerate(self.channels):
            if not _CHANNEL.fullmatch(channel):
                wanted = 'a channel such as "#help", or "#help key" where it has a key'
                problems.append(SettingError(f"channels[{index}]", found=f'"{channel}"', wanted=wanted))
        if bool(self.sasl_user) != (self.sasl_password is not None):
            lacking = "sasl_password" if self.sasl_user else "sasl_user"
            problems.append(SettingError(lacking, found="missing", wanted="set: user and password go together"))
        if (self.sasl_password or self.password) and not self.tls and self.host not in _LOCAL:
            problems.append(SettingError("tls", found="false", wanted="true where a password is sent over a network"))
        if problems:
            raise SettingErrors(problems)
