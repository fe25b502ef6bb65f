"""Who is at the door: bearer tokens, and what really is a program on this machine.

A page in the operator's browser, a name that was rebound to 127.0.0.1 and a reverse proxy all
look like loopback to a socket. So a request without credentials is believed only when the peer
is loopback, nothing says it was forwarded, it speaks HTTP/1.1, and Host and Origin are names the
operator expects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hmac import compare_digest

from protocols.http1.messages import Peer, Request

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_FORWARDING = frozenset((
    b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server",
    b"x-real-ip", b"x-client-ip", b"true-client-ip", b"cf-connecting-ip", b"fly-client-ip", b"x-envoy-external-address",
))  # fmt: skip


class Neighbours:
    """Decides whether a request comes from this machine's own user, without any credential."""

    def __init__(self, hosts: Sequence[str] = LOCAL_HOSTS, origins: Sequence[str] = ()) -> None:
        """`hosts` are names without a port; `origins` are whole origins beside the one that was called."""
        self._hosts = frozenset(host.lower().encode("latin-1") for host in hosts)
        self._origins = Origins(origins)
        # Every caller of this machine sends the same few.
        self._judge = lru_cache(maxsize=64)(self._judged)

    def objection(self, request: Request) -> str:
        """Return why the request is not believed, or ''."""
        index = request.headers.index
        forwarded = not _FORWARDING.isdisjoint(index)
        host, origin = index.get(b"host", b""), index.get(b"origin")
        return self._judge(request.peer.host, request.version, host, origin, forwarded=forwarded)

    def _judged(self, peer: str, version: str, host: bytes, origin: bytes | None, *, forwarded: bool) -> str:
        if not Peer(peer).is_loopback:
            return "Without credentials only programs on this machine are served."
        if forwarded:
            return "A request that was forwarded by a proxy needs credentials."
        if version == "1.0":
            # An nginx before 1.29.7 that is told nothing but `proxy_pass http://127.0.0.1:8420` speaks HTTP/1.0, names
            # that address as the Host, and adds no field that says it forwards.
            return "A request in HTTP/1.0 may come through a proxy: without credentials, HTTP/1.1 must be spoken."
        if _name_of(host) not in self._hosts:
            return "The Host header names a machine that is not among the hosts of this channel."
        if not self._origins.allow(origin, host):
            return "The Origin header names a page that is not among the origins of this channel."
        return ""


class Tokens:
    """Bearer tokens (RFC 6750) by the name of who holds them; several, so that they can be rotated."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {name: token.encode() for name, token in tokens.items()}

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def holder(self, token: bytes) -> str:
        """Return who holds a token, '' when nobody does, in a time that tells nothing about the others."""
        found = ""
        for name, known in self._tokens.items():
            if compare_digest(token, known):
                found = name
        return found


class Origins:
    """Decides whether the page that calls may: for a WebSocket, browsers ask nobody before they open it."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.lower().encode("latin-1") for origin in origins)

    def admit(self, request: Request) -> bool:
        """Admit programs (no Origin), pages of this very host and port, and what is on the list."""
        index = request.headers.index
        return self.allow(index.get(b"origin"), index.get(b"host", b""))

    def allow(self, origin: bytes | None, host: bytes) -> bool:
        """Decide the same from the two fields' values."""
        if origin is None:
            return True
        scheme, separator, authority = origin.lower().partition(b"://")
        own = bool(separator) and scheme in (b"http", b"https")
        return (own and authority == host.lower()) or origin.lower() in self._origins


def bearer_of(request: Request) -> bytes:
    """Return the bearer token of the Authorization header, or b''."""
    scheme, _, token = request.headers.index.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


@lru_cache(maxsize=64)
def is_json(content_type: bytes) -> bool:
    """Tell whether a Content-Type is JSON; a browser cannot send it across origins without asking first."""
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def _name_of(authority: bytes) -> bytes:
    """Return the host of an authority without its port, in lower case and as it is written."""
    if authority.startswith(b"["):
        return authority.partition(b"]")[0].lower() + b"]"
    return authority.partition(b":")[0].lower()
