"""One conversation over WebSocket: who listens, what was said last, and what a client that returns has missed.

Replies are numbered by `seq`, which only grows: milliseconds since 1970, pushed on by one where two
fall together. So numbers go on growing after a restart without being stored anywhere. A room
remembers what it gave out since `floor`; a client whose last seq is older is told that something may be missing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial

import trio

from gateway.channels.line import Line

# Enough for the minutes that a phone spends in a tunnel.
_KEPT_REPLIES = 64
_KEPT_CHARACTERS = 256 * 1024
# About 4 KB an empty room: what people who come back within the day are remembered by.
_KEPT_ROOMS = 1024


class Room:
    """The listeners of one conversation and its last replies. `now` gives epoch seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.lines: set[Line] = set()
        self.floor = self.seq = int(now() * 1000)
        self._now = now
        self._log: deque[tuple[int, str]] = deque()
        self._characters = 0
        self._waiting: dict[int, str] = {}  # seq → frame, said and not yet confirmed
        self._ids: dict[str, int] = {}  # delivery id → its seq, until it is confirmed
        self._changed = trio.Event()

    def number(self, delivery_id: str) -> int:
        """Give a delivery its seq, the same one at every attempt until it is confirmed."""
        if delivery_id not in self._ids:
            self.seq = max(self.seq + 1, int(self._now() * 1000))
            self._ids[delivery_id] = self.seq
        return self._ids[delivery_id]

    def covers(self, last: int | None) -> bool:
        """Tell whether everything said after `last` is known here; trivially so for who has seen nothing."""
        return last is None or self.floor <= last <= self.seq

    def join(self, line: Line, last: int | None) -> None:
        """Let a client listen, and say first what it has missed since `last` and what waits for somebody to have it."""
        self.lines.add(line)
        for seq, frame in self._log:
            if last is not None and seq > last:
                line.say(frame)
        for seq, frame in self._waiting.items():
            line.say(frame, None if line.acks else partial(self.taken, seq))

    def leave(self, line: Line) -> None:
        """A client is gone."""
        self.lines.discard(line)
        self._wake()

    def tell(self, frame: str) -> None:
        """Say something that nobody has to confirm."""
        for line in self.lines:
            line.say(frame)

    async def confirm(self, delivery_id: str, seq: int, said: str, kept: str) -> bool:
        """Say a reply and return True when one client has it, False when nobody listens any more.

        `kept` is what a client that resumes hears instead. Cancelled, it is as if it had not been said.
        """
        self._waiting[seq] = kept
        try:
            for line in tuple(self.lines):
                line.say(said, None if line.acks else partial(self.taken, seq))
            while seq in self._waiting and self.lines:
                await self._changed.wait()
            if seq in self._waiting:
                return False
            self._ids.pop(delivery_id, None)
            return True
        finally:
            self._waiting.pop(seq, None)

    def taken(self, seq: int) -> None:
        """A client has everything up to `seq`: by its own word, or because its socket took it."""
        for each in sorted(self._waiting):
            if each <= seq:
                self._keep(each, self._waiting.pop(each))
                self._wake()

    def _keep(self, seq: int, frame: str) -> None:
        self._log.append((seq, frame))
        self._characters += len(frame)
        while len(self._log) > _KEPT_REPLIES or (self._characters > _KEPT_CHARACTERS and len(self._log) > 1):
            self.floor, dropped = self._log.popleft()
            self._characters -= len(dropped)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class Rooms:
    """The rooms of a channel by conversation; those nobody listens in are forgotten, oldest first."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._rooms: OrderedDict[str, Room] = OrderedDict()

    def enter(self, conversation: str) -> Room:
        """Return the room of a conversation, a new one if need be."""
        room = self._rooms.setdefault(conversation, Room(self._now))
        self._rooms.move_to_end(conversation)
        empty = [name for name, each in self._rooms.items() if not each.lines and each is not room]
        for name in empty[: max(0, len(self._rooms) - _KEPT_ROOMS)]:
            del self._rooms[name]
        return room

    def find(self, conversation: str) -> Room | None:
        """Return the room of a conversation in which somebody listens."""
        room = self._rooms.get(conversation)
        return room if room is not None and room.lines else None
