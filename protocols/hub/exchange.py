"""One request and its one answer.

The application gets an Exchange from the hub and answers it once: at once, or later from any
plain call in the same thread (a journal's commit callback, say). Alternatives to a whole
answer are `stream` and `upgrade`. When the client goes away first, `gone` turns true and the
`on_gone` callbacks run; answering then is allowed and does nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from protocols.errors import AlreadyAnswered, ClientGone
from protocols.http1.chunked import LAST_CHUNK, encode_chunk
from protocols.http1.messages import Fields, Request, Response
from protocols.http1.writer import CLOSE, answer_bytes, stream_head
from protocols.problem import problem
from protocols.transport.stream import PipeStream

if TYPE_CHECKING:
    from protocols.hub.connection import Connection

_TWICE = "This exchange has its answer already."


class Exchange:
    """Answer with exactly one of `answer`, `stream`, `upgrade`; a second raises AlreadyAnswered."""

    __slots__ = ("_connection", "_on_gone", "_on_hangup", "answered", "gone", "hung_up", "late", "request")

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._on_gone: list[Callable[[], object]] = []
        self._on_hangup: list[Callable[[], object]] = []
        self.request = request
        self.answered = False
        self.gone = False
        # It waited unread among many for longer than an answer should take; refusing it costs least now.
        self.late = connection.state.crowd.late
        # The client has sent its last byte. It may still wait for the answer, but mostly it has left.
        self.hung_up = False

    def answer(self, response: Response) -> None:
        """Send the whole answer now, without waiting. Raises UnsafeHeader before anything is sent."""
        connection, request = self._connection, self.request
        stay = request.keep_alive and not connection.state.draining
        extra = connection.state.date_line if stay else connection.state.date_line + CLOSE
        piece = answer_bytes(
            response.status, response.headers, response.body, extra=extra, to_head=request.method == "HEAD"
        )
        if self.answered:
            raise AlreadyAnswered(_TWICE)
        self.answered = True
        if not self.gone:
            connection.send(piece)
            connection.exchange_over(stay=stay)

    @asynccontextmanager
    async def stream(self, status: int, headers: Fields = ()) -> AsyncIterator[AnswerStream]:
        """Send an answer piece by piece, from any task.

        Leaving the block ends the answer. Leaving it by an exception cuts the connection, so that
        the client sees a broken answer and not a complete one.
        """
        connection, request = self._connection, self.request
        chunked = request.version == "1.1"
        stay = chunked and request.keep_alive and not connection.state.draining
        extra = connection.state.date_line + (b"" if stay else CLOSE)
        head = stream_head(status, headers, extra=extra, chunked=chunked)
        self._take_turn()
        connection.send(head)
        body = AnswerStream(self, connection, chunked=chunked, silent=request.method == "HEAD")
        try:
            yield body
        except BaseException:
            connection.close()
            raise
        if not self.gone:
            body.end()
            connection.exchange_over(stay=stay)

    def upgrade(self) -> PipeStream:
        """Take the connection out of the hub, for another protocol. The caller closes it.

        Raises ClientGone when there is no connection any more.
        """
        self._take_turn()
        if self.gone:
            raise ClientGone
        return self._connection.detach()

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the client goes away before the answer is complete; at once if it has."""
        if self.gone:
            callback()
        else:
            self._on_gone.append(callback)

    def on_hangup(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the client hangs up or is gone, to stop work that only it waits for.

        A closed browser tab and a client that only shut down its sending half look the same: an
        answer is still sent to whoever reads it.
        """
        if self.hung_up or self.gone:
            callback()
        else:
            self._on_hangup.append(callback)

    # ── for the connection ──────────────────────────────────────────────

    def lost(self) -> None:
        """The connection is closed and the answer was not complete. All callbacks run; raises what one raised."""
        self.gone = True
        callbacks, self._on_gone = self._on_gone, []
        if not self.hung_up:
            self.hung_up = True
            callbacks += self._on_hangup
        _call_all(callbacks)

    def hang_up(self) -> None:
        """The client has sent its last byte. All callbacks run; raises what one raised."""
        self.hung_up = True
        callbacks, self._on_hangup = self._on_hangup, []
        _call_all(callbacks)

    def crash(self) -> None:
        """The application raised: answer 500 if nothing was answered, else cut what is half said."""
        if not self.answered:
            self.answer(problem(500, "The server failed while it looked at this request."))
        elif self._connection.exchange is self:
            self._connection.close()

    def _take_turn(self) -> None:
        if self.answered:
            raise AlreadyAnswered(_TWICE)
        self.answered = True


class AnswerStream:
    """The body of a streamed answer. One task sends at a time.

    A `silent` one goes nowhere, as the request was HEAD: there is no use in making it.
    """

    __slots__ = ("_chunked", "_connection", "_exchange", "silent")

    def __init__(self, exchange: Exchange, connection: Connection, *, chunked: bool, silent: bool) -> None:
        self._exchange = exchange
        self._connection = connection
        self._chunked = chunked
        self.silent = silent

    async def send(self, piece: bytes) -> None:
        """Send one piece, whole even when cancelled; wait while the client reads too slowly.

        Raises ClientGone when nobody reads any more. Always a checkpoint.
        """
        if piece and not self._exchange.gone and not self.silent:
            self._connection.send(encode_chunk(piece) if self._chunked else piece)
        if self._exchange.gone:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise ClientGone
        await self._connection.room()
        if self._exchange.gone:
            raise ClientGone

    def end(self) -> None:
        if self._chunked and not self.silent:
            self._connection.send(LAST_CHUNK)


def _call_all(callbacks: list[Callable[[], object]]) -> None:
    failure: Exception | None = None
    for callback in callbacks:
        try:
            callback()
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
