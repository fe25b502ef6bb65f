"""Count the bytes that peers make us keep: arrived and not read, or parts of messages. Pure.

Windows bound what one connection may leave here; this bounds all connections that share it, however many there are.
"""

from __future__ import annotations

# What a host with 1 GiB for the gateway can bear; 64 of the largest messages that are taken, half arrived.
MOST_BYTES = 128 * 1024 * 1024


class Held:
    """Take before keeping, free afterwards."""

    __slots__ = ("_most_bytes", "bytes")

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self.bytes = 0

    def take(self, size: int) -> bool:
        """Count them; False, and nothing counted, when it would be too much."""
        if self.bytes + size > self._most_bytes:
            return False
        self.bytes += size
        return True

    def free(self, size: int) -> None:
        """They are kept no longer."""
        self.bytes -= size
