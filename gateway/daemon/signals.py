"""SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reads the configuration again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import trio


class Stop:
    """Whether and why the gateway was asked to stop."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._why = ""

    def ask(self, why: str) -> None:
        """Ask for an orderly end."""
        self._why = self._why or why
        self._event.set()

    async def asked(self) -> str:
        """Return the reason once somebody asked."""
        await self._event.wait()
        return self._why

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked already."""
        return self._event.is_set()


async def watch_signals(
    stop: Stop, reload: Callable[[], None], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Obey signals until cancelled."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            if number == signal.SIGHUP:
                reload()
            elif stop.is_asked:
                # The journal holds whatever is unfinished; a hanging drain must not need a third signal.
                os._exit(128 + number)
            else:
                stop.ask(signal.Signals(number).name)
