"""After a stop that was not orderly, go carefully for a while.

A file in the state directory says that a gateway runs; an orderly stop removes it. Who finds it at the
start comes after a crash, and a message may have caused that: until `CAREFUL_SECONDS` have passed every
message is committed before any hook sees it, so that one which kills the process is in the journal when
it does, and its name is in the file while it is walked (`flow/flight.py`), so that its attempts are counted,
and nobody else's, and it ends among the dead letters instead of coming again for ever.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from gateway.errors import unwritable
from gateway.flow.accept import Door
from gateway.flow.flight import Flight, blamed
from gateway.flow.lanes import Lanes
from gateway.plainfile import read_plain

MARK = "running"
# Longer than the first steps of any platform's retry ladder: what killed us comes again within it.
CAREFUL_SECONDS = 900.0
# A place in the file is a line: a UUID takes 36.
_LINE = 40


class Caution:
    """What the last life left in the file, and what this one writes into it.

    `blamed`: the messages of which one may have ended the last life; `counted` says that the journal knows it.
    """

    def __init__(self, mark: Path) -> None:
        try:
            self.crashed = mark.exists()
            found = read_plain(mark).decode("ascii", "replace") if self.crashed else ""
            self._file = os.open(mark, os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as error:
            raise unwritable(mark, error) from error
        self.blamed = blamed([line.strip() for line in found.split("\n")])
        self.flight = Flight(self.put)
        self.counted = not self.crashed
        self._stale = len(found)

    def put(self, place: int, name: str) -> None:
        """Write a name into a place, or take it away with ''."""
        if self._file >= 0:
            if self._stale:  # by now the journal has counted whom the last life named
                _write(self._file, b"\n" * self._stale, 0)
                self._stale = 0
            _write(self._file, _line(name), place * _LINE)

    def acquit(self) -> None:
        """Blame nobody for what comes now, but the message whose step has just raised; take no names any more."""
        file, self._file = self._file, -1
        if file < 0:
            return
        if not self._stale:  # else nothing was walked yet, and the last life's names are perhaps not counted
            _write(file, b"\n" * os.fstat(file).st_size, 0)
            _write(file, _line(self.flight.stepping), 0)
        os.close(file)


@asynccontextmanager
async def careful(state_dir: Path, door: Door, lanes: Lanes) -> AsyncIterator[Caution]:
    """Mark that a gateway runs here while the block does; the mark stays when the block is not left in order.

    And when it is left before the journal has counted whom the last life blames: then a crash is still to be heard of.
    """
    mark = state_dir / MARK
    caution = Caution(mark)
    door.cautious = caution.crashed
    lanes.flight = caution.flight if caution.crashed else None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_relax, door, lanes)
            yield caution
            nursery.cancel_scope.cancel()
    finally:
        caution.acquit()
    if caution.counted:
        mark.unlink(missing_ok=True)


async def _relax(door: Door, lanes: Lanes) -> None:
    await trio.sleep(CAREFUL_SECONDS)
    door.cautious, lanes.flight = False, None


def _line(name: str) -> bytes:
    return f"{name:<{_LINE - 1}.{_LINE - 1}}\n".encode("ascii", "replace")


def _write(file: int, line: bytes, at: int) -> None:
    """Write, but for a full disk: it takes no new messages either."""
    try:
        os.pwrite(file, line, at)
    except OSError:
        pass
