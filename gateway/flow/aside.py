"""Run a message's walk straight through, or let it step aside into a task of its own.

Most walks never wait: plain hooks, compiled rules and built-in models answer at once, and
then a task of their own would cost more than the walk. So the batch of a commit is walked
by one task. A stage that must wait says so first, `await turn.aside()`; the walk is then
carried on by a task that the lane starts. One coroutine, entered twice: there is no second
form of the flow.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")
_ASIDE = object()


class Turn:
    """One run of one walk: whether it has its own task yet. Made anew for every run."""

    own_task: bool = False

    async def aside(self, pending: object = None) -> None:
        """Go on in a task of our own. To be awaited before anything that may wait; free when already there.

        `pending` is the coroutine that is waited for next; it is closed when the walk ends here instead.
        """
        if self.own_task:
            return
        try:
            await _leave()
        except BaseException:
            if isinstance(pending, Coroutine):
                pending.close()
            raise
        self.own_task = True


def straight(walk: Coroutine[Any, Any, T]) -> T | None:
    """Run `walk`, which returns something, as far as it gets without waiting; return what it returned.

    None when it stepped aside: then `carry_on(walk)` must be awaited in a task. Raises what the walk
    raises. A stage that waits without stepping aside is a bug and gets a RuntimeError at that place.
    """
    try:
        asked = walk.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    if asked is _ASIDE:
        return None
    walk.throw(RuntimeError("a stage waited without stepping aside first (await turn.aside())"))
    raise AssertionError("the walk went on after a fatal error")


@types.coroutine
def carry_on(walk: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Go on with a walk that stepped aside and return its value. Cancellation reaches it as in any task."""
    value: T = yield from walk
    return value


@types.coroutine
def _leave() -> Generator[object, None, None]:
    yield _ASIDE
