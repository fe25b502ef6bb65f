"""TLS contexts with our defaults: 1.3 for what we serve, the system's trust for what we call."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec


class Tls(msgspec.Struct):
    """What a listener shows whoever connects next; another `context` may be put there at any time."""

    context: ssl.SSLContext


def server_context(
    certificate: Path,
    key: Path | None = None,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    offer_h2: bool = False,
    client_authorities: Path | None = None,
) -> ssl.SSLContext:
    """Build the context of a listener. Raises OSError (ssl.SSLError is one), or ValueError for an encrypted key.

    `http/1.1` stands before `h2`: a browser, which offers both, gets HTTP/1.1, and only a client
    that offers nothing else gets h2. With `client_authorities` (PEM) only clients that show a certificate of theirs
    are served.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = minimum
    context.load_cert_chain(certificate, key, _of_nobody)
    if client_authorities is not None:
        context.load_verify_locations(cafile=client_authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1", "h2"] if offer_h2 else ["http/1.1"])
    return context


def _of_nobody() -> str:
    """Answer who asks for a key's password: OpenSSL would wait at the terminal, also in a reload."""
    raise ValueError("its key is encrypted, and nobody can be asked for the password: openssl pkey writes it in clear")


def client_context(authority: Path | None = None) -> ssl.SSLContext:
    """Build a verifying client context: the system's roots, or those in `authority` alone."""
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    context.set_alpn_protocols(["http/1.1"])
    return context
