"""URLs that we call and targets that we are called with, taken apart strictly.

Pure. `parse_url` serves the client; `path_segments` and `query_pairs` serve whoever routes a
request by its `path` and `query`, which arrive as sent.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

import msgspec

from protocols.errors import BadUrl

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# Everything RFC 3986 allows in a path or query; the rest is percent-encoded, and "%" stays as sent.
_SAFE = "/?:@!$&'()*+,;=-._~%"


class Url(msgspec.Struct, frozen=True):
    """Where to connect, and what to ask for there."""

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The Host field's value: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


@lru_cache(maxsize=512)
def parse_url(url: str) -> Url:
    """Take an absolute http, https, ws or wss URL apart; raise BadUrl. A fragment is dropped."""
    if not url.isprintable() or " " in url or "\\" in url:
        # urlsplit would drop line breaks and tabs without a word.
        raise BadUrl("A URL holds a space, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError as error:
        raise BadUrl(f"A URL is malformed: {error}.") from error
    if parts.scheme not in _PORTS or not host:
        raise BadUrl("A URL must be absolute: http:// or https:// and a host.")
    if parts.username is not None or parts.password is not None:
        raise BadUrl("A URL must not carry a user name or password; send them in a header.")
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    secure = parts.scheme in ("https", "wss")
    return Url(secure, host, _PORTS[parts.scheme] if port is None else port, target)


def path_segments(path: str) -> list[str]:
    """Return the decoded segments of a request's path; raise ValueError for bytes that are not UTF-8.

    A "%2F" stays inside its segment, so it cannot reach a neighbour's resource.
    """
    return [unquote_to_bytes(segment).decode("utf-8") for segment in path.strip("/").split("/")]


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Return the decoded pairs of a query in order, empty values kept; raise ValueError."""
    # As many as a form that a person filled in; more is somebody trying our patience.
    return parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=200)


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host
    return host.encode("idna").decode("ascii")
