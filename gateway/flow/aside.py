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
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_ASIDE = object()


class Turn:
    """One run of one walk: whether it has its own task yet. Made anew for every run."""

    __slots__ = ("own_task",)

    def __init__(self) -> None:
        self.own_task = False

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


class Ended(Generic[T]):
    """The walk came to its end without waiting; `value` is what it returned."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


def straight(walk: Coroutine[Any, Any, T]) -> Ended[T] | None:
    """Run `walk` as far as it gets without waiting.

    None when it stepped aside: then `carry_on(walk)` must be awaited in a task. Raises what the walk
    raises. A stage that waits without stepping aside is a bug and gets a RuntimeError at that place.
    """
    try:
        asked = walk.send(None)
    except StopIteration as end:
        return Ended(end.value)
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
