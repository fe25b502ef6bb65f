"""The reading side of one WebSocket client: obey its frames, tell it of bad ones, close on nonsense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never

import trio

from gateway.channels.frames import BadFrame, Frame, NotAFrame, Say, read_frame, read_say
from gateway.channels.line import Line
from gateway.channels.rooms import Room
from gateway.ports import Acceptance, Accepted, Duplicate, Refused
from protocols.websocket.connection import WebSocketConnection

# A client that has this many messages uncommitted is not read from: backpressure by TCP.
_MOST_UNCOMMITTED = 64
_MOST_FAULTS = 10
_POLICY = 1008

Then = Callable[[Sequence[Acceptance]], None]


class Listening:
    """`take` offers what was said to the gateway (raises BadFrame); `frame` writes a frame."""

    def __init__(
        self,
        connection: WebSocketConnection,
        line: Line[str],
        room: Room[str],
        take: Callable[[Frame, Say, Then], None],
        frame: Callable[..., str],
    ) -> None:
        self._connection, self._line, self._room = connection, line, room
        self._take, self._frame = take, frame
        self._uncommitted = trio.Semaphore(_MOST_UNCOMMITTED)
        self._faults = 0

    async def read(self) -> None:
        """Obey frames until the connection is over. Raises WebSocketClosed."""
        while True:
            received = await self._connection.receive()
            try:
                await self._obey(read_frame(received))
            except BadFrame as error:
                self._faults += 1
                self._line.say(self._frame("error", id=error.id, data={"why": str(error)}))
            except NotAFrame as error:
                await self._connection.close(error.code, str(error)[:100])
            if self._faults > _MOST_FAULTS:
                await self._connection.close(_POLICY, "too many bad frames")

    async def _obey(self, frame: Frame) -> None:
        match frame.type:
            case "message":
                say = read_say(frame)
                await self._uncommitted.acquire()
                try:
                    self._take(frame, say, partial(self._answer, frame.id))
                except BadFrame:
                    self._uncommitted.release()
                    raise
            case "ack":
                self._room.taken(frame.seq)
            case "ping":
                self._line.say(self._frame("pong", id=frame.id))
            case _:
                raise BadFrame(f"type is {frame.type!r}; it must be message, ack or ping.", frame.id)

    def _answer(self, id: str, acceptances: Sequence[Acceptance]) -> None:
        self._uncommitted.release()
        match acceptances[0]:
            case Accepted(envelope_id):
                self._line.say(self._frame("ack", id=id, data={"id": envelope_id}))
            case Duplicate(envelope_id):
                self._line.say(self._frame("ack", id=id, data={"id": envelope_id, "duplicate": True}))
            case Refused(why, retry_after):
                self._line.say(self._frame("busy", id=id, data={"why": why, "retry_after": retry_after}))
            case never:
                assert_never(never)
