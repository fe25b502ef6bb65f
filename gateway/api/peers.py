"""Who is asking: may this peer see what is meant for the operator? Pure.

A page in the operator's browser, a rebound DNS name and a reverse proxy all come from
loopback. So "local" asks for more: no trace of a proxy, and a Host that can only mean this
machine. Beyond that there are listed networks and a bearer token.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from protocols.http1.messages import Request

# What reverse proxies add; a request that carries one did not begin on this machine.
_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Access:
    """Local peers, peers of `networks`, and bearers of `token` where one is set."""

    def __init__(self, networks: Sequence[str] = (), *, token: str = "") -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(each, strict=False) for each in networks]
        self._token = f"Bearer {token}".encode() if token else b""

    def allows(self, request: Request) -> bool:
        """Tell whether this request may see it."""
        return is_local(request) or self._is_listed(request) or self._bears_token(request)

    def _is_listed(self, request: Request) -> bool:
        if not self._networks or not request.peer.host:
            return False
        address = ip_address(request.peer.host.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)

    def _bears_token(self, request: Request) -> bool:
        given = request.headers.get("Authorization").encode("latin-1")
        return bool(self._token) and hmac.compare_digest(given, self._token)


def is_local(request: Request) -> bool:
    """Tell whether the request began on this machine, and not in a page that was tricked into sending it."""
    if not request.peer.is_loopback:
        return False
    if request.peer.is_unix:
        return True
    host = request.headers.get("Host").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    forwarded = any(field in request.headers for field in _FORWARDING)
    return name in _LOCAL_NAMES and not forwarded
