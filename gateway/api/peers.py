"""Who is asking: may this peer see what is meant for the operator? Pure.

"Local" asks for more than a loopback address: what channels without credentials ask for (`channels/trust.py`).
Beyond that there are listed networks and a bearer token.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from gateway.channels.trust import Neighbours
from protocols.http1.messages import Request

_NEIGHBOURS = Neighbours()


class Access:
    """Local peers, peers of `networks`, and bearers of `token` where one is set."""

    def __init__(self, networks: Sequence[str] = (), *, token: str = "") -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(each, strict=False) for each in networks]
        self._token = f"Bearer {token}".encode() if token else b""

    def objection(self, request: Request) -> str:
        """Return why this request may not see it, or ''."""
        return "" if self._is_listed(request) or self._bears_token(request) else not_local(request)

    def _is_listed(self, request: Request) -> bool:
        if not self._networks or not request.peer.host:
            return False
        address = ip_address(request.peer.host.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)

    def _bears_token(self, request: Request) -> bool:
        given = request.headers.get("Authorization").encode("latin-1")
        return bool(self._token) and hmac.compare_digest(given, self._token)


def not_local(request: Request) -> str:
    """Return why this is not sure to have begun on this machine, outside of any page that was tricked; '' if it is."""
    return "" if request.peer.is_unix else _NEIGHBOURS.objection(request)
