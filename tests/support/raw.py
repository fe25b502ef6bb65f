"""HTTP and WebSocket by hand, over a plain socket: what no client library would send can be sent."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from msgspec import Struct

PATIENCE_SECONDS = 60.0
TEXT, BINARY, CLOSE = 1, 2, 8


class Answer(Struct, frozen=True):
    """One HTTP answer."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Raw:
    """A connection; reads are bounded in time."""

    def __init__(self, port: int) -> None:
        self._plug = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self._rest = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._plug.close()

    def write(self, *pieces: bytes) -> None:
        """Send bytes; a peer that has closed already is no error, its answer can still be read."""
        try:
            for piece in pieces:
                self._plug.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self) -> Answer:
        """Read one HTTP answer."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        return Answer(int(first.split(" ")[1]), fields, self._exactly(int(fields.get("content-length", "0"))))

    def over(self) -> bool:
        """Say whether the peer closes without another word."""
        return not self._rest and not self._receive()

    def upgrade(self, path: str, *fields: str) -> Answer:
        """Ask for a WebSocket."""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *fields, "", ""]
        self.write("\r\n".join(lines).encode())
        return self.answer()

    def frame(self, opcode: int, payload: bytes, *, first: int = 0x80, masked: bool = True) -> None:
        """Send one frame (RFC 6455, section 5.2); `first` are the upper bits of its first byte."""
        size = len(payload)
        length = size if size < 126 else 126 if size < 65536 else 127
        wide = b"" if size < 126 else struct.pack("!H" if size < 65536 else "!Q", size)
        head = bytes((first | opcode, (0x80 if masked else 0) | length)) + wide
        key = os.urandom(4)
        mask = (key * (size // 4 + 1))[:size]
        mixed = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big") if size else b""
        self.write(head + key + mixed if masked else head + payload)

    def say(self, **frame: Any) -> None:
        """Send one of the channel's JSON frames."""
        self.frame(TEXT, json.dumps({"v": 1, **frame}).encode())

    def hear(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and payload."""
        first, second = self._exactly(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8), "big")
        return first & 0x0F, self._exactly(length)

    def close_code(self) -> int:
        """Read on until the peer closes, and return its code."""
        while True:
            opcode, payload = self.hear()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")

    def _until(self, mark: bytes) -> bytes:
        while (at := self._rest.find(mark)) < 0:
            assert self._receive(), f"closed after {self._rest!r}"
        found, self._rest = self._rest[:at], self._rest[at + len(mark) :]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            assert self._receive(), f"closed after {self._rest!r}"
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _receive(self) -> bool:
        try:
            received = self._plug.recv(65536)
        except ConnectionResetError:
            return False
        self._rest += received
        return bool(received)
