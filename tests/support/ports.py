"""A TCP port of one's own, also while nobody listens there.

Asking the system for a free port and binding it later lets somebody else have it in between, most of all one of the
test's own clients: a connection takes its local port out of the same range.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """Hold a port of 127.0.0.1: servers may come and go there, and the system gives it to no one else."""
    with socket.socket() as held:
        # Two sockets that both say so may be bound to one port, as long as one of them at most listens.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
