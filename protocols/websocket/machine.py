"""Frames to messages and back, on wsproto. Pure: no socket, no task.

wsproto is driven without its HTTP half: the handshake is ours (`handshake.py`), so a frame that
arrives together with the upgrade request is simply fed first. Half a message is bounded
like a whole one.
"""

from __future__ import annotations

from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from protocols.errors import WebSocketClosed

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
BROKEN: Final = 1006
TOO_BIG: Final = 1009
SERVER_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013


class WebSocketMachine:
    """One side of one connection. What must be sent collects in `outgoing`; take it after every call."""

    __slots__ = ("_frames", "_message_bytes", "_part", "closed", "outgoing")

    def __init__(self, *, server: bool, message_bytes: int) -> None:
        self._frames = Connection(ConnectionType.SERVER if server else ConnectionType.CLIENT)
        self._message_bytes = message_bytes
        # One growing buffer, not a list: a message in fragments of a byte each, or of none, costs what it holds.
        self._part = bytearray()
        self.outgoing = b""
        # Set once the connection is over: no further message comes and none can be sent.
        self.closed: WebSocketClosed | None = None

    @property
    def closing(self) -> bool:
        """Our close frame is sent, or the connection is over."""
        return self.closed is not None or self._frames.state is not ConnectionState.OPEN

    def feed(self, piece: bytes) -> list[str | bytes]:
        """Take bytes, b"" for the end of the stream; return the messages that became whole."""
        if self.closed is not None:
            return []
        if not piece:
            self.closed = WebSocketClosed(BROKEN, "the connection broke")
            return []
        whole: list[str | bytes] = []
        self._frames.receive_data(piece)
        for event in self._frames.events():
            match event:
                case TextMessage() | BytesMessage():
                    self._gather(event, whole)
                case Ping():
                    self._answer_ping(event)
                case CloseConnection():
                    self._peer_closes(event)
            if self.closed is not None:
                break
        return whole

    def say(self, message: str | bytes) -> None:
        """Queue one message; raise WebSocketClosed when the connection is closing."""
        self._check_open()
        event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        self.outgoing += self._frames.send(event)

    def ping(self) -> None:
        """Queue a ping; raise WebSocketClosed when the connection is closing."""
        self._check_open()
        self.outgoing += self._frames.send(Ping())

    def close(self, code: int, reason: str) -> None:
        """Queue our close frame, once. A reason above 123 bytes is cut, as a control frame must be."""
        if not self.closing:
            self.outgoing += self._frames.send(CloseConnection(code, reason))

    def _check_open(self) -> None:
        if self.closed is not None:
            raise WebSocketClosed(self.closed.code, self.closed.reason)
        if self._frames.state is not ConnectionState.OPEN:
            raise WebSocketClosed(NORMAL, "closed by this side")

    def _gather(self, event: TextMessage | BytesMessage, whole: list[str | bytes]) -> None:
        data = event.data.encode() if isinstance(event.data, str) else event.data
        if len(self._part) + len(data) > self._message_bytes:
            self._fail(TOO_BIG, f"a message may have at most {self._message_bytes} bytes")
            return
        if not event.message_finished:
            self._part += data
        elif isinstance(event.data, str):
            whole.append((self._part + data).decode() if self._part else event.data)
            self._part.clear()
        else:
            whole.append(bytes(self._part + data))
            self._part.clear()

    def _answer_ping(self, event: Ping) -> None:
        if self._frames.state is ConnectionState.OPEN:
            self.outgoing += self._frames.send(event.response())

    def _peer_closes(self, event: CloseConnection) -> None:
        code, reason = int(event.code), event.reason or ""
        if self._frames.state is ConnectionState.REMOTE_CLOSING:
            self.outgoing += self._frames.send(event.response())
        elif self._frames.state is ConnectionState.OPEN:
            # wsproto reports a broken rule as a close that the peer never sent.
            self._fail(code, reason)
            return
        self.closed = WebSocketClosed(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        self._part.clear()
        if self._frames.state is ConnectionState.OPEN:
            self.outgoing += self._frames.send(CloseConnection(code, reason))
        self.closed = WebSocketClosed(code, reason)
