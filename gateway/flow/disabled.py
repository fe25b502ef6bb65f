"""Addresses that asked never to be sent to again (HTTP 410), remembered over restarts.

Kept sealed in the journal, one cursor a channel. An operator lets one be sent to again with
`oclaw disabled enable`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import trio

from gateway.errors import SealError
from gateway.flow.timers import Timers
from gateway.message.seal import RecordKind, Sealer
from gateway.notices import JournalFailed, Report
from gateway.ports import Journal
from gateway.records import Accept, Failed, Outcome

# Beside a channel's own cursors, whose names have no dot.
CURSOR = "oclaw.disabled"
# About 1 MB; the oldest is forgotten, asked once more, and says so again.
MOST = 10_000
_AGAIN_SECONDS = 5.0


class Disabled:
    """The addresses of each channel, oldest first. Every change is submitted to the journal at once."""

    def __init__(self, journal: Journal, sealer: Sealer, timers: Timers, report: Report) -> None:
        self._journal, self._sealer, self._timers, self._report = journal, sealer, timers, report
        self._addresses: dict[str, dict[str, None]] = {}

    async def load(self, channels: Iterable[str]) -> None:
        """Read what earlier lives were told."""
        for channel in channels:
            sealed = await self._journal.cursor(channel, CURSOR)
            if sealed and channel not in self._addresses:
                self._addresses[channel] = dict.fromkeys(self._opened(channel, sealed))

    def holds(self, channel: str, address: str) -> bool:
        """Say whether an address asked not to be sent to."""
        addresses = self._addresses.get(channel)
        return addresses is not None and address in addresses

    def add(self, channel: str, address: str) -> None:
        """Never send there again."""
        addresses = self._addresses.setdefault(channel, {})
        addresses[address] = None
        if len(addresses) > MOST:
            del addresses[next(iter(addresses))]
        self._save(channel)

    def remove(self, channel: str, address: str) -> bool:
        """Let an address be sent to again; False when it was not disabled."""
        if not self.holds(channel, address):
            return False
        del self._addresses[channel][address]
        self._save(channel)
        return True

    def listed(self) -> list[tuple[str, str]]:
        """Return (channel, address) of everything that is disabled."""
        return [(channel, address) for channel, addresses in self._addresses.items() for address in addresses]

    def _save(self, channel: str) -> None:
        value = msgspec.json.encode(list(self._addresses[channel]))
        sealed = self._sealer.seal_bytes(RecordKind.CURSOR, f"{channel}/{CURSOR}", value)

        def saved(outcome: Outcome) -> None:
            if isinstance(outcome, Failed):  # the disk refuses for the moment
                self._timers.at(trio.current_time() + _AGAIN_SECONDS, lambda: self._save(channel))

        self._journal.submit(Accept((), (channel, CURSOR, sealed)), saved)

    def _opened(self, channel: str, sealed: bytes) -> list[str]:
        try:
            opened = self._sealer.open_bytes(RecordKind.CURSOR, f"{channel}/{CURSOR}", sealed)
            return msgspec.json.decode(opened, type=list[str])
        except (SealError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._report(JournalFailed(f"the disabled addresses of {channel} do not open: {error}"))
            return []
