"""The certificate that the TCP listeners show, read at the start and again at every reload.

Certificates live for weeks, a gateway for months, and whoever renews them can only say: read it again. New handshakes
get the new one, connections keep theirs.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.config.settings import Settings
from gateway.errors import SettingError, SettingErrors
from protocols.transport.tls import server_context

_WANTED = "a certificate and its key in PEM"
_Made = TypeVar("_Made")


def certificate_files(settings: Settings) -> tuple[Path, ...]:
    """Return the files of the certificate and its key; none without TLS."""
    listen, folder = settings.listen, settings.directory
    return (folder / listen.tls_certificate, folder / listen.tls_key) if listen.tls_certificate else ()


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of the TCP listeners, None for none. Raises `SettingErrors`."""
    listen, folder = settings.listen, settings.directory
    if not listen.tls_certificate:
        return None
    theirs = folder / listen.tls_client_authorities if listen.tls_client_authorities else None
    if theirs is not None:
        _usable(lambda: ssl.create_default_context(cafile=theirs), "tls_client_authorities", "certificates in PEM")
    return _loaded(settings, theirs)


class Certificate:
    """The `context` in use, None without TLS, and what it was made of. Raises `SettingErrors`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Before it is loaded: what is renewed in between is another one at the next reload.
        self._read = _contents(settings)
        self.context = tls_context(settings)

    def again(self, settings: Settings) -> Callable[[], tuple[str, ...]]:
        """Read the files again, in any thread; the answer puts them in force and says what changed.

        Raises `SettingErrors` when they are no certificate with its key, as the answer does when they have changed
        since, and the one in use stays. Where `settings` name other files than at the start, these take effect with the
        next one, and what became of the old ones is nobody's concern.
        """
        context = self.context
        if context is None or certificate_files(settings) != certificate_files(self._settings):
            return tuple
        if (read := _contents(self._settings)) == self._read:
            return tuple
        _loaded(self._settings, None)  # a key that does not fit would leave the context without one

        def take() -> tuple[str, ...]:
            if _contents(self._settings) != read:  # being renewed at this moment, the one file before the other
                wanted = "at rest while it is read: reload again"
                raise SettingErrors([SettingError("listen.tls_certificate", found="changing", wanted=wanted)])
            certificate, key = certificate_files(self._settings)
            context.load_cert_chain(certificate, key)
            self._read = read
            return ("new connections are shown another certificate",)

        return take


def _contents(settings: Settings) -> tuple[bytes, ...]:
    def read() -> tuple[bytes, ...]:
        return tuple(file.read_bytes() for file in certificate_files(settings))

    return _usable(read, "tls_certificate", _WANTED)


def _loaded(settings: Settings, authorities: Path | None) -> ssl.SSLContext:
    certificate, key = certificate_files(settings)

    def made() -> ssl.SSLContext:
        return server_context(certificate, key, offer_h2=True, client_authorities=authorities)

    return _usable(made, "tls_certificate", _WANTED)


def _usable(make: Callable[[], _Made], setting: str, wanted: str) -> _Made:
    try:
        return make()
    except (OSError, ValueError) as error:
        problem = SettingError(f"listen.{setting}", found=f"not usable ({error})", wanted=wanted)
        raise SettingErrors([problem]) from error
