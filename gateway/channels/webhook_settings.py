"""[channels.NAME] of type "webhook": what an operator may say, and what is wrong with it.

Everything that can be judged without the secrets is judged while the configuration is read;
the secrets are read when the channel is built, for a channel that is switched off has none.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from gateway.channels.allowed import BadUrl, Destinations, parse
from gateway.channels.field_map import FIELDS, BadPointer, FieldMap, parse_pointer
from gateway.channels.reply_body import STANDARD, ReplyBody, UnknownValue
from gateway.channels.signatures import BadSecret, SigningKey, VerifyingKey, signing_key, verifying_key
from gateway.channels.trust import LOCAL_HOSTS
from gateway.config.secret import Secret
from gateway.errors import SettingError, SettingErrors

DEFAULT_FIELDS = {
    "id": "/id",
    "text": "/text",
    "type": "/type",
    "sender_id": "/sender/id",
    "sender_name": "/sender/name",
    "conversation": "/conversation/id",
    "conversation_title": "/conversation/title",
    "thread": "/conversation/thread",
    "in_reply_to": "/in_reply_to",
    "attachments": "/attachments",
    "sent_at": "/timestamp",
    "reply_to": "/reply_to",
}


class Settings(Struct, frozen=True, kw_only=True):
    """`fields`, when given, is the whole mapping. `reply_to_allowed` are URL prefixes; `private_networks` the only
    private addresses their host names may stand for (an address or localhost written in the list counts as named)."""

    auth: Literal["signature", "bearer", "none"] = "signature"
    secrets: tuple[Secret, ...] = ()
    tokens: tuple[Secret, ...] = ()
    # Standard Webhooks: five minutes both ways.
    tolerance_seconds: Annotated[float, Meta(gt=0, le=3600)] = 300.0
    # Media comes by URL; the longest text of any platform stays far below.
    body_bytes: Annotated[int, Meta(ge=1024, le=4 * 1024 * 1024)] = 1024 * 1024
    hosts: tuple[str, ...] = LOCAL_HOSTS
    origins: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=DEFAULT_FIELDS.copy)
    required: tuple[str, ...] = ("text",)
    deliver_url: str = ""
    deliver_secret: Secret | None = None
    old_deliver_secret: Secret | None = None
    reply_to_allowed: tuple[str, ...] = ()
    private_networks: tuple[str, ...] = ()
    reply_body: dict[str, Any] = field(default_factory=STANDARD.copy)
    # A caller that waits holds a connection; proxies cut idle ones after a minute.
    longest_wait_seconds: Annotated[float, Meta(ge=0, le=300)] = 55.0
    # Two gateways that answer each other would never stop.
    most_hops: Annotated[int, Meta(ge=1, le=32)] = 5

    def __post_init__(self) -> None:
        problems = [*self._who(), *self._what(), *self._where()]
        if problems:
            raise SettingErrors(problems)

    def _who(self) -> list[SettingError]:
        needed = {"signature": ("secrets", self.secrets), "bearer": ("tokens", self.tokens)}.get(self.auth)
        if needed is None or needed[1]:
            return []
        return [SettingError(needed[0], found="empty", wanted=f'at least one secret, as auth is "{self.auth}"')]

    def _what(self) -> list[SettingError]:
        problems = []
        for name, pointer in self.fields.items():
            if name not in FIELDS:
                known = "a field of a message: " + ", ".join(FIELDS)
                problems.append(SettingError(f"fields.{name}", found="unknown", wanted=known))
            elif pointer:
                problems += _fault(f"fields.{name}", pointer, parse_pointer, "a JSON pointer such as /data/text")
        for name in self.required:
            if not self.fields.get(name):
                problems.append(SettingError("required", found=f'"{name}"', wanted="fields that are mapped"))
        return problems + _fault("reply_body", self.reply_body, ReplyBody, "a table whose $names are known values")

    def _where(self) -> list[SettingError]:
        wanted = "an absolute http or https URL without user name"
        problems = _fault("deliver_url", self.deliver_url, parse, wanted) if self.deliver_url else []
        for entry in self.reply_to_allowed:
            problems += _fault("reply_to_allowed", entry, parse, wanted)
        for network in self.private_networks:
            make = lambda each: Destinations((), (each,))  # noqa: E731
            problems += _fault("private_networks", network, make, "networks such as 10.1.0.0/16")
        return problems


def field_map(settings: Settings) -> FieldMap:
    """Compile the mapping of checked settings."""
    return FieldMap(settings.fields, settings.required)


def inbound_keys(name: str, settings: Settings) -> tuple[VerifyingKey, ...]:
    """Read the secrets that callers sign with; raises `SettingError`."""
    place = f"channels.{name}.secrets"
    wanted = "secrets as whsec_… (24 to 64 bytes in base64) or whpk_…"
    return tuple(_key(place, secret, verifying_key, wanted) for secret in settings.secrets)


def outbound_keys(name: str, settings: Settings) -> tuple[SigningKey, ...]:
    """Read the secrets that we sign with, the old one last; raises `SettingError`, also for one of the inbound ones."""
    return tuple(
        _outbound(f"channels.{name}.{setting}", secret, settings)
        for setting in ("deliver_secret", "old_deliver_secret")
        if (secret := getattr(settings, setting)) is not None
    )


def _outbound(place: str, secret: Secret, settings: Settings) -> SigningKey:
    if secret.reveal() in [inbound.reveal() for inbound in settings.secrets]:
        wanted = "a secret of its own: whoever may call in could otherwise forge our replies"
        raise SettingError(place, found="one of the inbound secrets", wanted=wanted)
    key: SigningKey = _key(place, secret, signing_key, "a secret as whsec_… (24 to 64 bytes in base64) or whsk_…")
    return key


def _key(place: str, secret: Secret, read: Any, wanted: str) -> Any:
    try:
        return read(secret.reveal())
    except BadSecret as error:
        raise SettingError(place, found=f"{secret.source}, which is {error}", wanted=wanted) from error


def _fault(place: str, value: Any, check: Any, wanted: str) -> list[SettingError]:
    try:
        check(value)
    except (BadUrl, BadPointer, UnknownValue, ValueError) as error:
        return [SettingError(place, found=str(error), wanted=wanted)]
    return []
