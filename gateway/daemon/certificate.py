"""The certificate that the TCP listeners show and the authorities they ask for, read at the start and at every reload.

Certificates live for weeks, a gateway for months, and whoever renews them can only say: read it again. New handshakes
get the new ones, connections keep theirs.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from gateway.config.settings import Settings
from gateway.errors import SettingError, SettingErrors
from gateway.plainfile import read_plain
from protocols.transport.tls import Tls, server_context

_WANTED = "a certificate and its key in PEM"
_Made = TypeVar("_Made")


class Lasting(Struct, frozen=True):
    """From when until when a certificate counts, in epoch seconds."""

    begins_at: float
    ends_at: float


def tls_files(settings: Settings) -> tuple[Path, ...]:
    """Return the files of the certificate, its key and the clients' authorities; none without TLS."""
    listen, folder = settings.listen, settings.directory
    named = (listen.tls_certificate, listen.tls_key, listen.tls_client_authorities) if listen.tls_certificate else ()
    return tuple(folder / name for name in named if name)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of the TCP listeners, None for none. Raises `SettingErrors`."""
    files = tls_files(settings)
    if not files:
        return None
    _contents(settings)  # what is missing or no plain file is told by its name; OpenSSL says no names, and waits
    certificate, key, *theirs = files
    authorities = theirs[0] if theirs else None
    if authorities is not None:
        _usable(lambda: ssl.create_default_context(cafile=authorities), "tls_client_authorities", "certificates in PEM")

    def made() -> ssl.SSLContext:
        return server_context(certificate, key, offer_h2=True, client_authorities=authorities)

    return _usable(made, "tls_certificate", _WANTED)


def lasting(pem: bytes) -> Lasting | None:
    """Return how long a certificate lasts with all that stand behind it in its file; None where that cannot be read."""
    from cryptography.x509 import InvalidVersion, load_pem_x509_certificates

    try:
        chain = load_pem_x509_certificates(pem)
        begins_at = max(each.not_valid_before_utc.timestamp() for each in chain)
        return Lasting(begins_at, min(each.not_valid_after_utc.timestamp() for each in chain))
    except (ValueError, InvalidVersion):  # OpenSSL is content with more than the library
        return None


class Certificate:
    """What new handshakes get (`tls`, None without TLS), and what it was made of. Raises `SettingErrors`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Before it is loaded: what is renewed in between is another one at the next reload.
        self._read = _contents(settings)
        context = tls_context(settings)
        self.tls = None if context is None else Tls(context)
        self.lasting = lasting(self._read[0]) if self._read else None

    def again(self, settings: Settings) -> Callable[[], tuple[str, ...]]:
        """Read the files again, in any thread; the answer puts them in force and says what changed.

        Raises `SettingErrors` when they cannot be used or change at this moment, and those in use stay. Where
        `settings` name other files than at the start, these take effect with the next one, and what became of the old
        ones is nobody's concern.
        """
        tls, before = self.tls, self._read
        if tls is None or tls_files(settings) != tls_files(self._settings):
            return tuple
        read = _contents(self._settings)
        if read == before:
            return tuple
        context, lasts = tls_context(self._settings), lasting(read[0])
        if context is None or _contents(self._settings) != read:  # the one file before the other
            wanted = "at rest while it is read: reload again"
            raise SettingErrors([SettingError("listen.tls_certificate", found="changing", wanted=wanted)])

        def take() -> tuple[str, ...]:
            tls.context, self._read, self.lasting = context, read, lasts
            changes = ["new connections are shown another certificate"] if read[:2] != before[:2] else []
            if read[2:] != before[2:]:
                changes.append("new connections must show a certificate of other authorities")
            return tuple(changes)

        return take


def _contents(settings: Settings) -> tuple[bytes, ...]:
    names = ("tls_certificate", "tls_key", "tls_client_authorities")
    return tuple(
        [
            _usable(partial(read_plain, file), name, _WANTED)
            for name, file in zip(names, tls_files(settings), strict=False)  # the last one may be unset
        ]
    )


def _usable(make: Callable[[], _Made], setting: str, wanted: str) -> _Made:
    try:
        return make()
    except (OSError, ValueError) as error:
        problem = SettingError(f"listen.{setting}", found=f"not usable ({error})", wanted=wanted)
        raise SettingErrors([problem]) from error
