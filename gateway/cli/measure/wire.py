"""Cut a stream of HTTP/1.1 messages with Content-Length into heads and bodies, and read it from a connection.
Written for speed alone: the other side is our own gateway."""

from __future__ import annotations

import re
import socket

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


class Line:
    """One connection; `number` is the message it waits with, or -1, and `sent` the moment that one left."""

    __slots__ = ("_buffer", "number", "plug", "sent")

    def __init__(self, plug: socket.socket) -> None:
        self.plug, self.number, self.sent, self._buffer = plug, -1, 0.0, Buffer()

    def read(self) -> list[tuple[bytes, bytes]] | None:
        """Return the messages that are whole by now; None when the other side is gone."""
        try:
            received = self.plug.recv(262_144, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._buffer.feed(received) if received else None
