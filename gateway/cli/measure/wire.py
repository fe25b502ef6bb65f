"""Cut a stream of HTTP/1.1 messages with Content-Length into heads and bodies. Pure, and written for speed alone:
the other side is our own gateway."""

from __future__ import annotations

import re

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Buffer:
    """What has come in and is not a whole message yet."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[tuple[bytes, bytes]]:
        """Return the messages that are whole now, as (head, body)."""
        rest, messages = self._rest + received, []
        while (end := rest.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(rest, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(rest) < whole:
                break
            messages.append((rest[:end], rest[end + 4 : whole]))
            rest = rest[whole:]
        self._rest = rest
        return messages
