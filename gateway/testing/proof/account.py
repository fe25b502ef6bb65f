"""The account of a proof: what was sent, acknowledged and delivered, and what that adds up to.

Pure. A message is a room and a number; a room's numbers are sent one after the other, so they must
arrive in order. A repetition is honest when it comes under the id its first arrival had.
"""

from __future__ import annotations

from msgspec import Struct

Place = tuple[str, int]


class Tally(Struct, frozen=True, kw_only=True):
    """What a proof found. `repeated` came twice under the same id; `duplicated` under another one."""

    sent: int
    accepted: int
    delivered: int
    repeated: int
    duplicated: int
    reordered: int
    lost: int
    kills: int = 0
    seconds: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.reordered or self.duplicated)


class Account:
    """Books every message; `waiting` are acknowledged and not delivered yet."""

    def __init__(self) -> None:
        self._sent: set[Place] = set()
        self._accepted: set[Place] = set()
        self._arrived: dict[Place, str] = {}
        self._last: dict[str, int] = {}
        self._repeated = self._duplicated = self._reordered = 0
        self.refused = 0

    def sends(self, place: Place) -> None:
        """A message is on its way for the first time."""
        self._sent.add(place)

    def acknowledges(self, place: Place) -> None:
        """The gateway said that it has it."""
        self._accepted.add(place)

    def arrives(self, place: Place, identity: str) -> None:
        """Its answer reached the sink under this id."""
        known = self._arrived.get(place)
        if known is None:
            room, number = place
            self._reordered += number < self._last.get(room, 0)
            self._last[room] = max(number, self._last.get(room, 0))
            self._arrived[place] = identity
        elif known == identity:
            self._repeated += 1
        else:
            self._duplicated += 1

    @property
    def waiting(self) -> frozenset[Place]:
        """What was acknowledged and has not arrived."""
        return frozenset(self._accepted - self._arrived.keys())

    @property
    def accepted(self) -> int:
        """How many messages were acknowledged so far."""
        return len(self._accepted)

    def tally(self, *, kills: int = 0, seconds: float = 0.0) -> Tally:
        """Add it up."""
        return Tally(
            sent=len(self._sent),
            accepted=len(self._accepted),
            delivered=len(self._arrived),
            repeated=self._repeated,
            duplicated=self._duplicated,
            reordered=self._reordered,
            lost=len(self.waiting),
            kills=kills,
            seconds=seconds,
        )
