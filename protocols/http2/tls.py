"""TLS as a client of HTTP/2 wants it: version 1.3, ALPN `h2`, a certificate of its own where one is asked for."""

from __future__ import annotations

import ssl
from pathlib import Path

import trio

from protocols.http2.errors import HandshakeFailed

ALPN = "h2"


def client_tls(
    *, authorities: Path | str | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Trust `authorities` (PEM text, or a file; the system's by default); show `certificate` to servers
    that ask.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    if isinstance(authorities, Path):
        context.load_verify_locations(cafile=authorities)
    elif authorities is not None:
        context.load_verify_locations(cadata=authorities)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


async def shake_hands(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """The TLS handshake, and the check that both sides mean HTTP/2. Raises HandshakeFailed; the caller has
    a deadline.
    """
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        raise HandshakeFailed(f"The TLS handshake failed: {error.__cause__ or error}.") from error
    chosen = stream.selected_alpn_protocol()
    if chosen != ALPN:
        raise HandshakeFailed(f"The other side chose {chosen or 'no protocol'} by ALPN; gRPC needs {ALPN!r}.")
