"""Do one thing for each of many, a few at a time: a hundred questions one after another take as many round trips."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

T = TypeVar("T")


async def few_at_once(do: Callable[[T], Awaitable[None]], each: Iterable[T], *, at_once: int) -> None:
    """Return when it is done for each. What the first failure raises is raised plain; nothing more is begun then."""
    waiting = deque(each)
    failures: list[Exception] = []

    async def work() -> None:
        while waiting:
            try:
                await do(waiting.popleft())
            except Exception as error:
                failures.append(error)
                waiting.clear()

    async with trio.open_nursery() as nursery:
        for _ in range(min(at_once, len(waiting))):
            nursery.start_soon(work)
    if failures:
        raise failures[0]
