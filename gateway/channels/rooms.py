"""One room: who listens, what was said last, and what a client that returns has missed.

A WebSocket conversation is a room, and so is a whole gRPC channel; what is said is a text or an event.

Replies are numbered by `seq`, which only grows: milliseconds since 1970, pushed on by one where two
fall together. So numbers go on growing after a restart without being stored anywhere. A reply that is said
again after others gets a new number: a client may drop what is not newer than the last it has seen. A room
remembers what it gave out since `floor`; a client whose last seq is older is told that something may be missing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

import trio

F = TypeVar("F")
F_in = TypeVar("F_in", contravariant=True)
Sent = Callable[[], None]
Told = Callable[[int], None]

# Enough for the minutes that a phone spends in a tunnel.
_KEPT_REPLIES = 64
_KEPT_CHARACTERS = 256 * 1024
# About 4 KB an empty room: what people who come back within the day are remembered by.
_KEPT_ROOMS = 1024


class Listener(Protocol[F_in]):
    """One client's outbound side. `acks`: it confirms replies itself; `wants`: it listens to such a frame.

    `prompt`: nothing waits before what would be said now.
    """

    acks: bool

    @property
    def prompt(self) -> bool: ...

    def wants(self, frame: F_in) -> bool: ...

    def say(self, frame: F_in, sent: Sent | None = None) -> None: ...


class Room(Generic[F]):
    """The listeners of a room and its last replies. `now` gives epoch seconds, `size` a frame's characters."""

    def __init__(
        self,
        now: Callable[[], float],
        size: Callable[[F], int],
        *,
        replies: int = _KEPT_REPLIES,
        characters: int = _KEPT_CHARACTERS,
    ) -> None:
        self.lines: set[Listener[F]] = set()
        self.floor = self.seq = int(now() * 1000)
        self._now, self._size = now, size
        self._most_replies, self._most_characters = replies, characters
        self._log: deque[tuple[int, F]] = deque()
        self._characters = 0
        self._waiting: dict[int, _Said[F]] = {}  # by seq, said and not yet confirmed
        self._newest = ""  # the delivery that has `seq`, until it is confirmed

    def number(self, delivery_id: str) -> int:
        """Give a delivery its seq: a new one, unless it has the newest and is not confirmed."""
        if delivery_id != self._newest:
            self.seq = max(self.seq + 1, int(self._now() * 1000))
            self._newest = delivery_id
        return self.seq

    def covers(self, last: int | None) -> bool:
        """Tell whether everything said after `last` is known here; trivially so for who has seen nothing."""
        return last is None or self.floor <= last <= self.seq

    def join(self, line: Listener[F], last: int | None) -> None:
        """Let a client listen, and say first what it has missed since `last` and what waits for somebody to have it."""
        said = 0
        # What is taken at once is waiting no longer, and may bring the next reply of its conversation: that comes last.
        while backlog := self._backlog(last, said):
            for seq, frame in backlog:
                said = seq
                if line.wants(frame):
                    line.say(frame, self._confirming(line, seq))
        self.lines.add(line)

    def leave(self, line: Listener[F]) -> None:
        """A client is gone, and what only it would have heard is not said."""
        self.lines.discard(line)
        for seq, said in list(self._waiting.items()):
            if self._waiting.get(seq) is said and not self.heard(said.said):
                del self._waiting[seq]
                said.told(0)

    def heard(self, frame: F) -> bool:
        """Tell whether anybody listens to such a frame."""
        return any(line.wants(frame) for line in self.lines)

    def at_hand(self, frame: F) -> bool:
        """Tell whether somebody listens to such a frame whose connection alone can confirm it, and at once."""
        return any(line.prompt and not line.acks and line.wants(frame) for line in self.lines)

    def tell(self, frame: F) -> None:
        """Say something that nobody has to confirm."""
        for line in self.lines:
            if line.wants(frame):
                line.say(frame)

    def say(self, delivery_id: str, seq: int, said: F, kept: F, told: Told) -> None:
        """Say a reply to whoever listens; `told` gets its seq when a client has it, 0 when all are gone. Maybe at once.

        `kept` is what a client that resumes hears instead.
        """
        self._waiting[seq] = _Said(delivery_id, said, kept, told)
        for line in tuple(self.lines):
            if line.wants(said):
                line.say(said, self._confirming(line, seq))

    async def confirm(self, delivery_id: str, seq: int, said: F, kept: F) -> bool:
        """Say a reply as `say` does, and return True when one client has it, False when nobody listens any more.

        Cancelled, it is as if it had not been said.
        """
        if not self.heard(said):
            return False
        answers: list[int] = []
        over = trio.Event()

        def told(answer: int) -> None:
            answers.append(answer)
            over.set()

        self.say(delivery_id, seq, said, kept, told)
        mine = self._waiting.get(seq)
        try:
            await over.wait()
        finally:
            if mine is not None and self._waiting.get(seq) is mine:
                del self._waiting[seq]
        return answers[0] > 0

    def taken(self, seq: int) -> None:
        """A client has everything up to `seq`: by its own word, or because its socket took it."""
        for each in sorted(each for each in self._waiting if each <= seq):
            self._took(each)

    def _took(self, seq: int) -> None:
        said = self._waiting.pop(seq, None)
        if said is not None:
            self._keep(seq, said.kept)
            if self._newest == said.delivery_id:
                self._newest = ""
            said.told(seq)

    def _keep(self, seq: int, frame: F) -> None:
        # By number, also what was confirmed after later ones.
        place = len(self._log)
        while place and self._log[place - 1][0] > seq:
            place -= 1
        self._log.insert(place, (seq, frame))
        self._characters += self._size(frame)
        while len(self._log) > self._most_replies or (self._characters > self._most_characters and len(self._log) > 1):
            lowest, dropped = self._log.popleft()
            self.floor = max(self.floor, lowest)
            self._characters -= self._size(dropped)

    def _backlog(self, last: int | None, said: int) -> list[tuple[int, F]]:
        """List what a client that joins has still to hear, by number, behind what was `said` to it already."""
        missed = {seq: frame for seq, frame in self._log if last is not None and seq > max(last, said)}
        waiting = {seq: each.kept for seq, each in self._waiting.items() if seq > said}
        return sorted((missed | waiting).items(), key=itemgetter(0))

    def _confirming(self, line: Listener[F], seq: int) -> Sent | None:
        return None if line.acks else partial(self._took, seq)


class _Said(Generic[F]):
    """One reply that waits for somebody to have it; `kept` is what a client hears that comes later."""

    __slots__ = ("delivery_id", "kept", "said", "told")

    def __init__(self, delivery_id: str, said: F, kept: F, told: Told) -> None:
        self.delivery_id, self.said, self.kept, self.told = delivery_id, said, kept, told


class Rooms:
    """The rooms of a channel by conversation; those nobody listens in are forgotten, oldest first."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._rooms: OrderedDict[str, Room[str]] = OrderedDict()

    def enter(self, conversation: str) -> Room[str]:
        """Return the room of a conversation, a new one if need be."""
        room = self._rooms.setdefault(conversation, Room(self._now, len))
        self._rooms.move_to_end(conversation)
        empty = [name for name, each in self._rooms.items() if not each.lines and each is not room]
        for name in empty[: max(0, len(self._rooms) - _KEPT_ROOMS)]:
            del self._rooms[name]
        return room

    def find(self, conversation: str) -> Room[str] | None:
        """Return the room of a conversation in which somebody listens."""
        room = self._rooms.get(conversation)
        return room if room is not None and room.lines else None
