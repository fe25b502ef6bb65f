"""The calls that run at the moment, on however many connections: wait for those that end, make an end of the others.

A subscription or a health watch would hold a drain until its deadline. When everything else is done,
`end` cancels what still runs; each caller hears UNAVAILABLE with the reason, and comes back elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from protocols.http2.held import Held


class Calls:
    """Share one between all connections of a server. `endless`: paths of methods that never end by themselves."""

    __slots__ = ("_endless", "_finished", "_finite", "_scopes", "ended_because", "held")

    def __init__(self, endless: Iterable[str] = ()) -> None:
        self._endless = frozenset(endless)
        self._scopes: dict[trio.CancelScope, str] = {}
        self._finite = 0
        self._finished = trio.Event()
        self.ended_because = ""
        #: What all callers together have sent and no handler has taken yet.
        self.held = Held()

    async def finished(self) -> None:
        """Return when only endless calls run. The caller sets the deadline."""
        while self._finite:
            await self._finished.wait()

    def end(self, why: str) -> None:
        """Cancel all calls, and whatever begins afterwards; `why` is told to their callers."""
        self.ended_because = why
        for scope in self._scopes:
            scope.cancel()

    def enter(self, scope: trio.CancelScope, method: str) -> None:
        """A call begins, inside `scope`."""
        self._scopes[scope] = method
        self._finite += method not in self._endless
        if self.ended_because:
            scope.cancel()

    def begin(self) -> None:
        """A call begins that ends by itself within moments, and that nobody can cancel."""
        self._finite += 1

    def leave(self, scope: trio.CancelScope) -> None:
        """It is over."""
        if self._scopes.pop(scope) not in self._endless:
            self.done()

    def done(self) -> None:
        """One that ends is over."""
        self._finite -= 1
        if not self._finite:
            self._finished.set()
            self._finished = trio.Event()
