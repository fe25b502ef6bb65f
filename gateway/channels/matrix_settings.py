"""[channels.NAME] of type "matrix": what an operator may say, and what is wrong with it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.channels.allowed import BadUrl, parse
from gateway.config.secret import Secret
from gateway.errors import SettingError, SettingErrors

# Matrix specification 1.16, appendices 4.2.1 (user identifiers) and 4.1 (server name), at most 255 bytes together.
_LOCALPART = re.compile(r"[a-z0-9._=/+-]{1,200}")
_SERVER = re.compile(r"(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
NOTICE = "I cannot read encrypted rooms. Please talk to me in a room without encryption."


class Settings(Struct, frozen=True, kw_only=True):
    """One application service on one homeserver. `ghosts` are regular expressions for whole user ids."""

    homeserver_url: str
    server_name: str
    hs_token: Secret
    as_token: Secret
    id: str = "oclaw"
    bot_localpart: str = "oclaw"
    display_name: str = ""
    ghosts: tuple[str, ...] = ()
    join: Literal["anyone", "local", "listed", "never"] = "local"
    inviters: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    answer_bots: bool = False
    reply_as: Literal["text", "notice"] = "text"
    quote: Literal["groups", "always", "never"] = "groups"
    typing: bool = True
    # A second between edits is what people's clients show without flicker, and far below servers' limits.
    edit_seconds: Annotated[float, Meta(ge=0.2, le=60)] = 1.0
    # An event may have 65,536 bytes; the HTML form and the JSON around it need the rest.
    text_limit: Annotated[int, Meta(ge=500, le=20_000)] = 16_000
    # Synapse's own default for uploads.
    media_bytes: Annotated[int, Meta(ge=0, le=1024**3)] = 50 * 1024 * 1024
    media_seconds: Annotated[float, Meta(gt=0, le=60)] = 15.0
    encrypted_notice: str = NOTICE

    def __post_init__(self) -> None:
        problems = [*self._who(), *self._where()]
        if problems:
            raise SettingErrors(problems)

    @property
    def bot(self) -> str:
        """The bot's whole user id."""
        return f"@{self.bot_localpart}:{self.server_name}"

    def _who(self) -> list[SettingError]:
        problems = []
        if not _LOCALPART.fullmatch(self.bot_localpart):
            wanted = "lower case letters, digits and . _ = / + -, without @ and server"
            problems.append(SettingError("bot_localpart", found=f'"{self.bot_localpart}"', wanted=wanted))
        if not self.id.strip():
            problems.append(SettingError("id", found="empty", wanted="the id in the registration file"))
        for expression in self.ghosts:
            try:
                re.compile(expression)
            except re.error as error:
                found = f'"{expression}" ({error})'
                problems.append(SettingError("ghosts", found=found, wanted="regular expressions for user ids"))
        if self.join == "listed" and not self.inviters:
            wanted = 'user ids such as "@anna:example.org", or *:example.org, as join is "listed"'
            problems.append(SettingError("inviters", found="empty", wanted=wanted))
        return problems

    def _where(self) -> list[SettingError]:
        problems = []
        try:
            parse(self.homeserver_url)
        except BadUrl as error:
            wanted = 'where the homeserver is reached, such as "http://127.0.0.1:8008"'
            problems.append(SettingError("homeserver_url", found=str(error), wanted=wanted))
        if not _SERVER.fullmatch(self.server_name):
            wanted = 'the part behind the colon of its user ids, such as "example.org"'
            problems.append(SettingError("server_name", found=f'"{self.server_name}"', wanted=wanted))
        return problems
