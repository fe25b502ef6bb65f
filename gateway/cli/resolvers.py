"""Which name servers the network policy of the unit keeps the service from; without one no name resolves. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

# systemd.resource-control(5), "IPAddressAllow=".
_WORDS = {"link-local": ("169.254.0.0/16", "fe80::/64"), "multicast": ("224.0.0.0/4", "ff00::/8")}


def cut_off(policy: str, resolv_conf: str) -> list[str]:
    """Return the name servers of a resolv.conf(5) that a drop-in with `IPAddressDeny=` denies."""
    denied = [
        ip_network(network)
        for line in re.findall(r"^IPAddressDeny=(.*)", policy, re.MULTILINE)
        for word in line.split()
        for network in _WORDS.get(word, (word,))
    ]
    servers = re.findall(r"^nameserver\s+([0-9a-fA-F:.]+)", resolv_conf, re.MULTILINE)
    return [each for each in dict.fromkeys(servers) if any(ip_address(each) in network for network in denied)]
