"""Is the platform still there? An open socket proves nothing: a cable that is cut keeps it open for hours.

Every byte that arrives is a sign of life. After `every_seconds` of silence the channel asks (a ping,
a heartbeat); after `patience_seconds` more the connection is given up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

from gateway.channels.shared.errors import ConnectionLost


class Pulse:
    """Counts silence. `heard()` whenever anything arrives; `watch(ask)` beside the reading task."""

    def __init__(self, every_seconds: float, patience_seconds: float) -> None:
        self._every, self._patience = every_seconds, patience_seconds
        self._heard_at = trio.current_time()
        self._heard = trio.Event()
        self._looking_away = False

    def heard(self) -> None:
        """Something arrived."""
        self._heard_at = trio.current_time()
        self._heard.set()

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """While the block runs nobody reads (the gateway is full, say): what is not heard then says nothing."""
        self._looking_away = True
        try:
            yield
        finally:
            self._looking_away = False
            self.heard()

    async def watch(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask after each silence, for ever. Raises `ConnectionLost` when nobody answers."""
        while True:
            # Compared as slept: `now - heard_at` may round to less than `every` at the very moment of waking, for ever.
            quiet_at = self._heard_at + self._every
            await trio.sleep_until(quiet_at)
            if self._looking_away:
                self.heard()
            if self._heard_at + self._every > quiet_at:
                continue
            self._heard = trio.Event()
            await ask()
            with trio.move_on_after(self._patience):
                await self._heard.wait()
            if not self._heard.is_set() and not self._looking_away:
                raise ConnectionLost(f"silent for {self._every + self._patience:g} s")
