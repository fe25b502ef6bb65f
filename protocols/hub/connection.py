"""One client connection: a plain object that the hub wakes when its socket is ready.

It owns the order of things on one socket: read, hand one request to the application, send its
answer, only then look at the next request. Nothing here waits; deadlines are a number in
`deadline` that the sweeper compares with the clock. Memory is bounded: a head, a body, what
was sent ahead, and one unsent answer (or a stream's high-water mark).
"""

from __future__ import annotations

from math import inf
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT

import trio

from protocols.errors import Refusal
from protocols.http1.messages import Peer, Request
from protocols.http1.reader import Phase, RequestReader
from protocols.http1.writer import CLOSE, CONTINUE, answer_bytes
from protocols.hub.events import ConnectionCrashed, DispatchCrashed, RequestRefused, SlowReaderCut
from protocols.hub.exchange import Exchange
from protocols.hub.state import HubState
from protocols.problem import problem
from protocols.transport.pipes import READ_BYTES, Pipe
from protocols.transport.stream import PipeStream

_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
# Requests answered at once from one read before other connections get their turn.
_BURST = 16
_IDLE = Phase.IDLE  # looked up by name: a class's member takes ten times as long


class Connection:
    """Created when a client is accepted; gone when `closed`."""

    __slots__ = ("_advancing", "_ending", "_interest", "_lingering", "_peer_finished", "_poked", "_room",
                 "_sniffed", "_timed", "closed", "deadline", "descriptor", "exchange", "peer", "pipe",
                 "reader", "state")  # fmt: skip

    def __init__(self, state: HubState, pipe: Pipe, peer: Peer) -> None:
        self.state = state
        self.pipe = pipe
        self.peer = peer
        self.reader = RequestReader(state.read_head, state.limits, peer, secure=pipe.secure)
        self.exchange: Exchange | None = None
        self.closed = False
        self.descriptor = pipe.socket.fileno()
        first = state.limits.head_seconds if pipe.established else state.limits.handshake_seconds
        self.deadline = trio.current_time() + first
        self._advancing = self._ending = self._lingering = self._peer_finished = self._poked = False
        self._sniffed = False
        self._timed = _IDLE
        self._room: trio.Event | None = None
        self._interest = EPOLLIN
        state.crowd.add(self.descriptor, self.wake)

    # ── what the hub calls ──────────────────────────────────────────────

    @property
    def owes(self) -> bool:
        """Whether a request has no answer yet, or its answer has not gone out whole; a stream may have no end."""
        if self.exchange is not None:
            return not self.exchange.answered
        return self.pipe.established and bool(self.pipe.unsent)

    def wake(self, events: int) -> None:
        """The socket is ready. Never raises."""
        try:
            if events & EPOLLOUT:
                self._on_writable()
            if events & EPOLLIN and not self.closed:
                self._on_readable()
            elif events & (EPOLLERR | EPOLLHUP):
                self.close()
            self._advance()
            if self._peer_finished:
                self._end_half_closed()
        except OSError:
            # Reset by the peer, or a broken TLS record: either way nobody is there.
            self.close()
        except Exception as error:
            self.state.report(ConnectionCrashed(self.peer, error))
            self.close()

    def expire(self, now: float) -> None:
        """The deadline has passed: answer 408, cut a slow reader, or close what was idle."""
        if self.pipe.unsent and self.pipe.established:
            self.state.report(SlowReaderCut(self.peer, len(self.pipe.unsent)))
            self.close()
        elif self.exchange is not None:
            self.deadline = inf
        elif self._ending or self.reader.phase is Phase.IDLE:
            self.close()
        else:
            self._refuse(Refusal(408, "The request did not arrive in time."))

    def drain(self) -> None:
        """The hub ends: an idle connection closes now, a busy one after its answer."""
        if self.exchange is None and self.reader.phase is Phase.IDLE and not self.pipe.unsent:
            self.close()

    def close(self) -> None:
        """Close at once; tell an unanswered exchange that its client is gone. Never raises."""
        if self.closed:
            return
        self.closed = True
        self.state.leave(self.descriptor, self.peer.host)
        self.pipe.close()
        self._make_room()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            try:
                exchange.lost()
            except Exception as error:
                self.state.report(ConnectionCrashed(self.peer, error))

    # ── what the exchange calls ─────────────────────────────────────────

    def send(self, piece: bytes) -> None:
        """Send now what fits; the rest follows when the socket has room. Never raises."""
        if self.closed:
            return
        try:
            self.pipe.write(piece)
        except OSError:
            self.close()
            return
        if self.pipe.unsent:
            self._await_room()

    def exchange_over(self, *, stay: bool) -> None:
        """The answer is complete: take the next request, or end the connection."""
        self.exchange = None
        if self.closed:
            return
        if not stay or self.state.draining:
            self._end()
            return
        if not self.pipe.unsent:
            self.deadline = self.state.now + self.state.limits.idle_seconds
        if not self._advancing and (self.reader.buffered or self._peer_finished):
            # The next request is already here, but this call may come from anywhere: let the hub's
            # task take it up, by asking for an event that fires at once.
            self._poked = True
        if self._poked or self._interest != EPOLLIN:
            self._update_interest()

    async def room(self) -> None:
        """Wait until the reader has caught up, or is gone. Always a checkpoint."""
        if len(self.pipe.unsent) <= self.state.limits.stream_high_water or self.closed:
            await trio.lowlevel.checkpoint()
            return
        self._room = trio.Event()
        await self._room.wait()

    def detach(self) -> PipeStream:
        """Give the socket away, with what was read beyond the request."""
        tail = self.reader.take_tail()
        self.state.detach(self.descriptor)
        self.closed, self.exchange = True, None
        host, state = self.peer.host, self.state
        return PipeStream(self.pipe, tail=tail, on_close=lambda: state.reclaim(host))

    # ── reading ─────────────────────────────────────────────────────────

    def _on_readable(self) -> None:
        if self._lingering:
            self._discard()
            return
        pipe = self.pipe
        was_established = pipe.established
        piece = pipe.receive()
        if piece:
            if not self._ending:
                self.reader.feed(piece)
            if self.exchange is not None or pipe.unsent:
                self._update_interest()
        elif piece is not None:
            self._peer_finished = True
            self._update_interest()
            if self.exchange is not None:
                self.exchange.hang_up()
        if not was_established:
            self._on_handshake()

    def _on_handshake(self) -> None:
        if self.pipe.unsent:
            self._update_interest()
        if self.pipe.established:
            self.deadline = trio.current_time() + self.state.limits.head_seconds
            if self.pipe.alpn == "h2":
                self._hand_over_h2()

    def _discard(self) -> None:
        if not self.pipe.socket.recv(READ_BYTES):
            self.close()

    def _end_half_closed(self) -> None:
        """The client has sent its last byte: what is outstanding is still answered, then we close."""
        if self.closed or self.exchange is not None or self.pipe.unsent or self._poked:
            return
        if self.reader.phase is Phase.IDLE:
            self.close()
        elif not self._ending:
            self._refuse(Refusal(400, "The request ended before it was complete."))

    def _advance(self) -> None:
        """Take requests from the reader while nothing is outstanding."""
        if self._advancing or self.closed:
            return
        self._advancing = True
        try:
            for _ in range(_BURST):
                if self.exchange is not None or self._ending or self.closed or self.pipe.unsent:
                    return
                if not self._sniffed and not self._sniff():
                    return
                request = self.reader.next_request()
                if request is None:
                    self._await_rest()
                    return
                self._dispatch(request)
                if not self.reader.buffered:
                    return
            self._poked = True
            self._update_interest()
        except Refusal as refusal:
            self._refuse(refusal)
        finally:
            self._advancing = False

    def _sniff(self) -> bool:
        """Look once whether the client speaks HTTP/2 without having agreed on it by TLS."""
        found = self.reader.starts_with(_PREFACE)
        if found is None:
            self._await_rest()
            return False
        self._sniffed = found is not None
        if not found:
            return True
        if self.state.h2_entrance is None:
            raise Refusal(505, "This server does not speak HTTP/2 here.")
        self._hand_over_h2()
        return False

    def _hand_over_h2(self) -> None:
        entrance = self.state.h2_entrance
        if entrance is None:
            self.close()
            return
        stream = self.detach()
        try:
            entrance(stream)
        except BaseException:
            stream.abort()
            raise

    def _await_rest(self) -> None:
        """Bytes are missing: set the deadline of what is being waited for, once."""
        reader, limits = self.reader, self.state.limits
        if reader.expects_continue:
            reader.expects_continue = False
            if not reader.body_begun:
                self.send(CONTINUE)
        if reader.phase is not self._timed:
            self._timed = reader.phase
            patience = limits.head_seconds if reader.phase is Phase.HEAD else limits.body_seconds
            self.deadline = trio.current_time() + patience

    def _dispatch(self, request: Request) -> None:
        exchange = self.exchange = Exchange(self, request)
        exchange.hung_up = self._peer_finished
        self.deadline = inf
        self._timed = _IDLE
        try:
            self.state.dispatch(exchange)
        except (KeyboardInterrupt, GeneratorExit, trio.Cancelled):
            raise
        except BaseException as error:  # what the application plugs in may call sys.exit(), or run asyncio
            self.state.report(DispatchCrashed(request, error))
            exchange.crash()

    # ── writing ─────────────────────────────────────────────────────────

    def _refuse(self, refusal: Refusal) -> None:
        self.state.report(RequestRefused(self.peer, refusal.status, refusal.detail))
        answer = problem(refusal.status, refusal.detail)
        extra = self.state.date_line + CLOSE
        self.send(answer_bytes(answer.status, answer.headers, answer.body, extra=extra))
        self._end()

    def _end(self) -> None:
        """Nothing more is read as a request; close once the last answer is out."""
        self._ending = True
        if not self.closed and not self.pipe.unsent:
            self._linger()

    def _linger(self) -> None:
        # Closing with unread bytes in the socket sends a reset, which can overtake the answer: say that
        # we are done, then read on for a moment (RFC 9112, section 9.6).
        self._lingering = True
        self.state.look_again()
        if self._peer_finished:
            self.close()
            return
        try:
            self.pipe.finish()
        except OSError:
            self.close()
            return
        self.deadline = trio.current_time() + self.state.limits.linger_seconds
        self._update_interest()

    def _on_writable(self) -> None:
        self._poked = False
        self.pipe.flush()
        if len(self.pipe.unsent) <= self.state.limits.stream_high_water // 2:
            self._make_room()
        if not self.pipe.unsent and not self._lingering:
            if self._ending:
                self._linger()
            elif self.exchange is not None:
                self.deadline = inf
            elif self.pipe.established and self.reader.phase is Phase.IDLE:
                self.deadline = trio.current_time() + self.state.limits.idle_seconds
        self._update_interest()

    def _await_room(self) -> None:
        limits = self.state.limits
        patience = limits.write_seconds + len(self.pipe.unsent) / limits.slowest_bytes_per_second
        self.deadline = trio.current_time() + patience
        self._update_interest()

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _update_interest(self) -> None:
        if self.closed:
            return
        blocked = self.exchange is not None or self.pipe.unsent
        full = blocked and len(self.reader.buffered) >= self.state.limits.pipelined_bytes
        wanted = 0 if self._peer_finished or full else EPOLLIN
        if self.pipe.unsent or self._poked:
            wanted |= EPOLLOUT
        if wanted != self._interest:
            self._interest = wanted
            self.state.crowd.change(self.descriptor, wanted)
