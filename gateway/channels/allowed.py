"""Where replies may go: the operator's allow-list against a URL that a stranger wrote.

An entry allows a URL when scheme, host and port are equal and the path begins with the entry's,
at a border between path segments. A URL with user name, fragment, backslash, dot segment or a
character outside plain ASCII is refused before any comparison: parsers disagree about those.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from msgspec import Struct

_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = frozenset('\\"<>^`{|}@#')
Address = IPv4Address | IPv6Address


class BadUrl(ValueError):
    """A URL cannot be a destination; the message says why."""


class Target(Struct, frozen=True):
    """A URL taken apart: what must be equal, and the path."""

    scheme: str
    host: str
    port: int
    path: str


class Destinations:
    """The compiled allow-list of one channel, and which private addresses it may reach."""

    def __init__(self, allowed: Sequence[str], networks: Sequence[str] = (), own: str = "") -> None:
        """`own` is the configured URL, always allowed and believed. Raises BadUrl, ValueError for a bad network."""
        self._own = own
        self._entries = tuple(parse(entry) for entry in allowed)
        named = [address for entry in self._entries if (address := _literal(entry.host))]
        loopback = ["127.0.0.0/8", "::1"] if any(entry.host == "localhost" for entry in self._entries) else []
        self._networks: tuple[IPv4Network | IPv6Network, ...] = (
            *(ip_network(network) for network in (*networks, *loopback)),
            *(ip_network(address) for address in named),
        )
        self.allows = lru_cache(maxsize=1024)(self._allows)

    def _allows(self, url: str) -> bool:
        """Tell whether replies may go to `url`."""
        if url and url == self._own:
            return True
        try:
            target = parse(url)
        except BadUrl:
            return False
        return any(_covers(entry, target) for entry in self._entries)

    def may_reach(self, address: Address) -> bool:
        """Tell whether a resolved address may be reached: a public one, or one that the operator named."""
        plain = getattr(address, "ipv4_mapped", None) or address
        if any(plain in network for network in self._networks):
            return True
        return plain.is_global and not plain.is_multicast


@lru_cache(maxsize=1024)
def parse(url: str) -> Target:
    """Take an absolute http(s) URL apart. Raises BadUrl for whatever two parsers might read differently."""
    if not url.isascii() or not url.isprintable() or " " in url or not _FORBIDDEN.isdisjoint(url):
        raise BadUrl(f'"{url[:80]}", which has a character that no destination may have')
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadUrl(f'"{url[:80]}", which is no URL ({error})') from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BadUrl(f'"{url[:80]}", which is no absolute http or https URL')
    lowered = parts.path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/")
    if any(segment in (".", "..") for segment in lowered.split("/")):
        raise BadUrl(f'"{url[:80]}", which has a . or .. in its path')
    return Target(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], parts.path or "/")


def _covers(entry: Target, target: Target) -> bool:
    if (entry.scheme, entry.host, entry.port) != (target.scheme, target.host, target.port):
        return False
    return target.path == entry.path or target.path.startswith(entry.path.rstrip("/") + "/")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
