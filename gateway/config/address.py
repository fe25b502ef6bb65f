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
