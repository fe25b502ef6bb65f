"""The server: a watch reads every ready connection and calls `dispatch`, without a task for each.

Measured against a task per connection this serves 1.7 times the requests: one wake-up of the
scheduler reads all connections that are ready. The sweeper beside it keeps every deadline by
comparing numbers twice a second; two cancel scopes per request would halve the throughput.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from functools import partial

import trio

from protocols.http1.heads import ReadHead, best_read_head
from protocols.http1.limits import HttpLimits
from protocols.http1.messages import Peer
from protocols.http1.writer import answer_bytes
from protocols.hub.connection import Connection
from protocols.hub.crowd import Crowd
from protocols.hub.events import AcceptPaused, ConnectionTurnedAway, Report
from protocols.hub.state import Dispatch, H2Entrance, HubState
from protocols.problem import problem
from protocols.transport.listeners import Listener
from protocols.transport.pipes import Pipe, PlainPipe, TlsPipe
from protocols.transport.watch import Watch, shared_watch

# Clients accepted per wake-up and listener: other tasks wait meanwhile.
_ACCEPTS = 64
# Nothing frees a descriptor faster than the sweeper closes connections.
_ACCEPT_PAUSE_SECONDS = 1.0
# Later than this no sweep comes but where the whole process was stopped, or its machine.
_STANDSTILL_SECONDS = 1.0
# One client that left while it waited, or that a firewall stops; anything else would repeat at once.
_ONE_CLIENT = frozenset((errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ECONNRESET, errno.EINTR))


class Hub:
    """An HTTP/1.1 server. Start it with `await nursery.start(hub.serve, listeners)`.

    `dispatch` is a plain function, called in the watch's task for each complete request; it must be
    quick and may answer later. What it raises becomes a 500 and a DispatchCrashed event. While `reluctant` says so,
    requests are left unread until they are late (`rota.py`), and then dispatched as such.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        report: Report,
        *,
        limits: HttpLimits | None = None,
        h2_entrance: H2Entrance | None = None,
        read_head: ReadHead | None = None,
        reluctant: Callable[[], bool] = lambda: False,
    ) -> None:
        chosen = read_head or best_read_head()
        shared = shared_watch()
        self._watch, self._watch_is_shared = shared or Watch(), shared is not None
        self._crowd = Crowd(self._watch, reluctant)
        self._state = HubState(dispatch, limits or HttpLimits(), report, chosen, h2_entrance, self._crowd)
        self._listeners: dict[int, Listener] = {}
        self._serving = trio.CancelScope()
        self._drain_until = float("inf")
        self._accept_from = float("-inf")
        self._paused = False

    @property
    def open_connections(self) -> int:
        """Connections now open, those handed over to other protocols included."""
        return self._state.open_connections

    async def serve(
        self,
        listeners: list[Listener],
        *,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled or drained; started with the listeners' addresses.

        All sockets but those handed over are closed on return.
        """
        self._listeners = {listener.socket.fileno(): listener for listener in listeners}
        self._state.on_empty = self._check_drained
        self._crowd.open()
        try:
            async with trio.open_nursery() as nursery:
                if not self._watch_is_shared:
                    nursery.start_soon(self._watch.run)
                self._listen()
                self._state.now = trio.current_time()
                self._mark_date()
                nursery.start_soon(self._sweep)
                task_status.started([listener.address for listener in listeners])
                with self._serving:
                    await self._crowd.run()
                nursery.cancel_scope.cancel()
        finally:
            self._close_all()

    def drain(self) -> None:
        """Stop accepting, close idle connections, let running exchanges finish; `serve` then returns.

        Bounded by `drain_seconds`: whoever has not finished reading or writing by then is cut off.
        """
        state = self._state
        if state.draining:
            return
        state.draining = True
        self._drain_until = trio.current_time() + state.limits.drain_seconds
        self._close_listeners()
        for connection in list(state.connections.values()):
            connection.drain()
        self._check_drained()

    async def finished(self) -> None:
        """After `drain`: return once every request that was read has its answer, but for what is streamed.

        The caller sets the deadline; who sends half a request does not count.
        """
        while any(connection.owes for connection in self._state.connections.values()):
            await self._state.changed.park()

    def _knocked(self, listener: Listener, _events: int) -> None:
        self._watch.afterwards(partial(self._accept, listener))

    def _accept(self, listener: Listener) -> None:
        if listener.socket.fileno() not in self._listeners:  # closed by a connection of the same wake-up: drained
            return
        for _ in range(_ACCEPTS):
            try:
                sock, address = listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _ONE_CLIENT:
                    continue
                self._pause_accepting(error)
                return
            try:
                self._admit(sock, listener, address)
            except OSError:
                sock.close()

    def _admit(self, sock: socket.socket, listener: Listener, address: object) -> None:
        sock.settimeout(0.0)
        peer = Peer("")
        if isinstance(address, tuple):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(address[0], address[1])
        why = self._why_not(peer)
        if why:
            self._turn_away(sock, listener, peer, why)
            return
        pipe: Pipe = PlainPipe(sock) if listener.tls is None else TlsPipe(sock, listener.tls.context)
        self._state.enter(Connection(self._state, pipe, peer))

    def _why_not(self, peer: Peer) -> str:
        state = self._state
        if state.open_connections >= state.limits.connections:
            return "The server has as many connections as it may have."
        if not peer.is_unix and state.by_address.get(peer.host, 0) >= state.limits.connections_per_address:
            return "This address has as many connections as it may have."
        return ""

    def _turn_away(self, sock: socket.socket, listener: Listener, peer: Peer, why: str) -> None:
        self._state.report(ConnectionTurnedAway(peer, why))
        with sock:
            if listener.tls is None:
                answer = problem(503, why, headers=(("Retry-After", "1"), ("Connection", "close")))
                sock.send(answer_bytes(answer.status, answer.headers, answer.body))

    def _pause_accepting(self, error: OSError) -> None:
        if self._paused:
            return
        self._paused = True
        self._state.report(AcceptPaused(error))
        self._accept_from = trio.current_time() + _ACCEPT_PAUSE_SECONDS
        for descriptor in self._listeners:
            self._watch.remove(descriptor)

    def _listen(self) -> None:
        self._paused = False
        for descriptor, listener in self._listeners.items():
            self._watch.add(descriptor, partial(self._knocked, listener))

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(self._state.limits.sweep_seconds)
            before, now = self._state.now, trio.current_time()
            self._state.now = now
            self._mark_date()
            # After a standstill of the machine, what came meanwhile lies unread in the sockets: it is read first.
            if now - before < self._state.limits.sweep_seconds + _STANDSTILL_SECONDS:
                self._expire(now)
            if self._paused and now >= self._accept_from:
                self._listen()
            if now >= self._drain_until:
                self._serving.cancel()

    def _expire(self, now: float) -> None:
        for connection in [each for each in self._state.connections.values() if each.deadline <= now]:
            connection.expire(now)

    def _mark_date(self) -> None:
        # RFC 9110 section 5.6.7. Names of days and months are English: nothing here sets a locale.
        self._state.date_line = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime()).encode("ascii")

    def _check_drained(self) -> None:
        if self._state.draining and not self._state.connections:
            self._serving.cancel()

    def _close_listeners(self) -> None:
        if not self._paused:
            for descriptor in self._listeners:
                self._watch.remove(descriptor)
        listeners, self._listeners = self._listeners, {}
        self._paused = False
        for listener in listeners.values():
            listener.socket.close()

    def _close_all(self) -> None:
        self._close_listeners()
        for connection in list(self._state.connections.values()):
            connection.close()
        self._crowd.close()
        if not self._watch_is_shared:
            self._watch.close()
