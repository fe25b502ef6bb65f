"""Count the bytes that peers make us keep: arrived and not read, or parts of messages. Pure.

Windows bound what one stream may leave here; this bounds all connections that share it, each connection as a part of
it, and within a connection what is served to anybody as a part of that. What counts in a part counts in the whole.
"""

from __future__ import annotations

# What a host with 1 GiB for the gateway can bear; 64 of the largest messages that are taken, half arrived.
MOST_BYTES = 128 * 1024 * 1024


class Held:
    """Take before keeping, free afterwards."""

    __slots__ = ("_most_bytes", "_sure_bytes", "_whole", "bytes")

    def __init__(self, most_bytes: int = MOST_BYTES, *, whole: Held | None = None, sure_bytes: int = 0) -> None:
        self._most_bytes, self._sure_bytes, self._whole = most_bytes, sure_bytes, whole
        self.bytes = 0

    def part(self, most_bytes: int, *, sure_bytes: int = 0) -> Held:
        """What may hold so much of this, and `sure_bytes` also when the others have taken all of it."""
        return Held(most_bytes, whole=self, sure_bytes=sure_bytes)

    def take(self, size: int) -> bool:
        """Count them; False, and nothing counted, when it would be too much."""
        held = self.bytes + size
        if held > self._most_bytes:
            return False
        if self._whole is not None and not self._whole.take(size):
            if held > self._sure_bytes:
                return False
            self._whole.count(size)
        self.bytes = held
        return True

    def count(self, size: int) -> None:
        """Count what was taken before and is kept in another place, without asking again."""
        self.bytes += size
        if self._whole is not None:
            self._whole.count(size)

    def adopt(self, size: int) -> bool:
        """Count here, too, what the whole has counted; False, and nothing counted, when it would be too much."""
        if self.bytes + size > self._most_bytes:
            return False
        self.bytes += size
        return True

    def free(self, size: int) -> None:
        """They are kept no longer."""
        self.count(-size)
