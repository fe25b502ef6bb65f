"""The supervision tree: named children in one nursery, none of which can take another down.

A child is a coroutine function with a name and a restart policy. The tree starts and
stops them one by one (a reload needs that) and tells how each stands. Leaving the
`open_supervisor` block cancels them all and waits for their ends.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from gateway.notices import Report
from gateway.supervise.child import Child, ChildState, Run, Surroundings
from gateway.supervise.policy import Policy


class Supervisor:
    """The children of one `open_supervisor` block."""

    def __init__(self, nursery: trio.Nursery, around: Surroundings) -> None:
        self._nursery, self._around = nursery, around
        self._children: dict[str, Child] = {}

    async def start(self, name: str, run: Run, policy: Policy | None = None) -> ChildState:
        """Start a child; return once it is ready, reports a connection that is down, or has crashed the first time.

        Never raises what the child raises. A caller that waits no longer puts a deadline around this call:
        the child carries on. One that failed or stopped begins anew; `ValueError` when a child of that name is alive.
        """
        if (known := self._children.get(name)) is not None and not known.ended.is_set():
            raise ValueError(f"a child named {name!r} runs already")
        child = self._children[name] = Child(name, run, policy or Policy(), self._around)
        self._nursery.start_soon(child.live, name=name)
        await child.settled.wait()
        return child.state

    async def stop(self, name: str) -> ChildState:
        """Cancel a child and wait for its end; it stays listed, stopped or failed. `KeyError` for an unknown name."""
        child = self._children[name]
        child.stop()
        await child.ended.wait()
        return child.state

    async def remove(self, name: str) -> None:
        """Stop a child and list it no more, not even when the caller waits no longer for its end.

        There is nothing to do for an unknown name.
        """
        child = self._children.get(name)
        if child is None:
            return
        try:
            await self.stop(name)
        finally:
            if self._children.get(name) is child:
                del self._children[name]

    def connected(self, name: str, state: str, why: str = "") -> None:
        """Note what a child says of its connection; `Inlet.connected` ends here. Unknown names are ignored."""
        if (known := self._children.get(name)) is not None:
            known.connected(state, why)

    def children(self) -> tuple[ChildState, ...]:
        """Tell how every child stands, in order of their first start."""
        return tuple(child.state for child in self._children.values())

    def child(self, name: str) -> ChildState:
        """Tell how one child stands. `KeyError` for an unknown name."""
        return self._children[name].state


@asynccontextmanager
async def open_supervisor(
    report: Report, now: Callable[[], float], *, spread: Callable[[], float] = random.random
) -> AsyncIterator[Supervisor]:
    """Open a tree. `now` gives epoch seconds for what people read; pauses follow Trio's clock."""
    async with trio.open_nursery() as nursery:
        yield Supervisor(nursery, Surroundings(report, now, spread))
        nursery.cancel_scope.cancel()
