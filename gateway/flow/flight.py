"""Which messages are being walked at this moment, noted where a crash leaves the note.

After a crash the gateway goes carefully for a while: each walk is named while it lasts, and the one whose step runs
just now apart from those that wait for something. If the process dies, the names tell who may have done it: the one
whose step ran, or, when none did (a worker's thread, an answer that took all memory), all that were under way. A name
takes no commit: what was handed to the system outlives the process, and power is not cut off by a message.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_NOW = 0


class Flight:
    """Names walks in numbered places: in the first one the step that runs, behind it each walk that stepped aside.

    `put(place, envelope_id)` writes a name, or takes it away with ''; it never waits and never raises. `stepping` is
    the message whose step runs.
    """

    def __init__(self, put: Callable[[int, str], None]) -> None:
        self._put = put
        self.stepping = ""
        self._free: list[int] = []
        self._places = _NOW + 1

    def begins(self, envelope_id: str) -> None:
        """A step of this walk begins. The name stays when the step raises: then it ends the gateway."""
        self.stepping = envelope_id
        self._put(_NOW, envelope_id)

    def pauses(self) -> None:
        """The step is over."""
        self.stepping = ""
        self._put(_NOW, "")

    @types.coroutine
    def carry_on(self, envelope_id: str, walk: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Go on with a walk that stepped aside, as `aside.carry_on` does, and name it until it is over."""
        place = self._free.pop() if self._free else self._one_more()
        self._put(place, envelope_id)
        try:
            value: T = yield from self._stepped(envelope_id, walk)
        finally:
            self._put(place, "")
            self._free.append(place)
        return value

    def _stepped(self, envelope_id: str, walk: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        step = partial(walk.send, None)
        while True:
            # While the gateway dies of another's step, cancelled walks must not write over that one's name.
            mine = not self.stepping
            if mine:
                self.begins(envelope_id)
            try:
                asked = step()
            except StopIteration as end:
                value: T = end.value
                return value
            finally:
                if mine:
                    self.pauses()
            try:
                step = partial(walk.send, (yield asked))
            except BaseException as error:  # noqa: ASYNC103 (the walk's own scopes decide what becomes of it)
                step = partial(walk.throw, error)

    def _one_more(self) -> int:
        self._places += 1
        return self._places - 1


def blamed(names: Sequence[str]) -> frozenset[str]:
    """Tell who may have caused a crash, by the names that it left in the places, '' for an empty one."""
    stepping, aside = names[:1], names[1:]
    return frozenset(filter(None, stepping if any(stepping) else aside))
