"""What the hub and its connections share: the outside world's callbacks, bounds and the crowd of their sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from protocols.http1.heads import ReadHead
from protocols.http1.limits import HttpLimits
from protocols.hub.crowd import Crowd
from protocols.hub.events import Report
from protocols.transport.stream import PipeStream

if TYPE_CHECKING:
    from protocols.hub.connection import Connection
    from protocols.hub.exchange import Exchange

Dispatch = Callable[["Exchange"], None]
H2Entrance = Callable[[PipeStream], None]


class HubState:
    """One per hub; used by one task and by plain calls from the same thread."""

    __slots__ = ("by_address", "changed", "connections", "crowd", "date_line", "detached", "dispatch", "draining",
                 "h2_entrance", "limits", "now", "on_empty", "read_head", "report")  # fmt: skip

    def __init__(
        self,
        dispatch: Dispatch,
        limits: HttpLimits,
        report: Report,
        read_head: ReadHead,
        h2_entrance: H2Entrance | None,
        crowd: Crowd,
    ) -> None:
        self.crowd = crowd
        self.dispatch = dispatch
        self.limits = limits
        self.report = report
        self.read_head = read_head
        self.h2_entrance = h2_entrance
        self.connections: dict[int, Connection] = {}
        self.by_address: dict[str, int] = {}
        self.detached = 0
        self.draining = False
        # Woken while draining, whenever a connection may have said its last word.
        self.changed = trio.lowlevel.ParkingLot()
        self.date_line = b""
        # The time of the last sweep: exact enough for deadlines that are kept to half a second.
        self.now = 0.0
        self.on_empty: Callable[[], None] = lambda: None

    @property
    def open_connections(self) -> int:
        """Connections that count against the bound, those handed over included."""
        return len(self.connections) + self.detached

    def enter(self, connection: Connection) -> None:
        host = connection.peer.host
        self.by_address[host] = self.by_address.get(host, 0) + 1
        self.connections[connection.pipe.socket.fileno()] = connection

    def leave(self, descriptor: int, host: str) -> None:
        """A connection is closed: it no longer counts."""
        del self.connections[descriptor]
        self.crowd.remove(descriptor)
        self.uncount(host)
        self.look_again()
        if not self.connections:
            self.on_empty()

    def detach(self, descriptor: int) -> None:
        """A connection is handed over: it counts until `reclaim`, but is no longer ours to serve."""
        del self.connections[descriptor]
        self.crowd.remove(descriptor)
        self.detached += 1
        self.look_again()
        if not self.connections:
            self.on_empty()

    def reclaim(self, host: str) -> None:
        """A connection that was handed over is closed."""
        self.detached -= 1
        self.uncount(host)

    def look_again(self) -> None:
        """Something was answered or is gone."""
        if self.draining:
            self.changed.unpark_all()

    def uncount(self, host: str) -> None:
        left = self.by_address[host] - 1
        if left:
            self.by_address[host] = left
        else:
            del self.by_address[host]
