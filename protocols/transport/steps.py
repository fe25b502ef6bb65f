"""Messages that came together go in step: first all of them are read, then all decided, then all stored.

A message meets a megabyte of code and data on its way, more than the caches next to a core hold; one after the other,
each would fetch all of it anew. A queue does it, first in, first out: who has done a stage queues up for the next one,
behind all others. So nobody overtakes anybody, and no stage knows of another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Step = Callable[[], object]
InStep = Callable[[Step], object]
"""Does one message's step together with those of all that came with it: `Steps.take`, or `at_once`."""


def at_once(step: Step) -> None:
    """Take no heed of others."""
    step()


def _raise(error: BaseException) -> None:
    raise error


class Steps:
    """The queue of those who go in step, while they are `together`; whoever comes alone goes on at once.

    What a step that was queued raises goes to `failed`, and the steps behind it are done; what `failed` raises ends
    `catch_up`.
    """

    def __init__(self, failed: Callable[[BaseException], object] = _raise) -> None:
        self._queue: deque[Step] = deque()
        self._failed = failed
        self.together = False

    def take(self, step: Step) -> None:
        """Do `step` when all who came along have come as far; now, when there is nobody."""
        if self.together:
            self._queue.append(step)
        else:
            step()

    def catch_up(self) -> None:
        """Do all steps that were taken, in their order, and those that they take."""
        queue = self._queue
        while queue:
            try:
                while queue:
                    queue.popleft()()
            except BaseException as error:  # noqa: ASYNC103 (`failed` decides which of them end the watch)
                self._failed(error)
