"""Just enough HTTP/1.1, by hand: one request or answer with a Content-Length, over a kept connection."""

from __future__ import annotations

import trio
from msgspec import Struct

# A webhook's message or answer in a proof; whatever is longer is not ours.
_MOST = 1024 * 1024


class Broken(Exception):
    """The other side went away, or does not speak HTTP."""


class Read(Struct, frozen=True):
    """The first line, the fields by lower-case name, and the body."""

    first: str
    fields: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first.split(" ", 2)[1])


class Wire:
    """One connection; reads whole messages."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream, self._buffer = stream, bytearray()

    async def write(self, head: list[str], body: bytes) -> None:
        """Send a message. Raises `Broken`."""
        text = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
        try:
            await self._stream.send_all(text)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Broken from error

    async def read(self) -> Read | None:
        """Receive a message; None when the other side closed between two. Raises `Broken`."""
        end = await self._until(b"\r\n\r\n")
        if end is None:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        del self._buffer[: end + 4]
        length = int(fields.get("content-length", "0"))
        while len(self._buffer) < length:
            await self._more()
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return Read(first, fields, body)

    def close(self) -> None:
        """Let go of the connection at once."""
        self._stream.socket.close()

    async def _until(self, mark: bytes) -> int | None:
        while (at := self._buffer.find(mark)) < 0:
            try:
                await self._more()
            except Broken:
                if self._buffer:
                    raise
                return None
        return at

    async def _more(self) -> None:
        try:
            received = await self._stream.receive_some(65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Broken from error
        if not received or len(self._buffer) > _MOST:
            raise Broken
        self._buffer += received
