"""Take apart the addresses of [listen]."""

from __future__ import annotations


def split_address(address: str) -> tuple[str, int] | None:
    """Return host and port of "host:port" or "[v6]:port", None when it is neither; port 0 picks a free one."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare) != host.startswith("["):
        return None
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        return None
    return bare, int(port)


def overlap(one: str, other: str) -> bool:
    """Say whether two addresses cannot both be listened on: the same, or one of all addresses of its kind."""
    first, second = split_address(one), split_address(other)
    if first is None or second is None or first[1] != second[1] or not first[1]:
        return False
    hosts = {first[0], second[0]}
    kind = "::" if all(":" in host for host in hosts) else "0.0.0.0"
    return len(hosts) == 1 or (kind in hosts and len({":" in host for host in hosts}) == 1)
