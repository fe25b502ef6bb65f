"""SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reads the configuration again.

SIGHUP is also what the system sends when a terminal is closed; whoever was run from it then drains, and does not go
on unseen. `nohup` and `setsid` keep a gateway from that, as they keep any program.
"""

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
    tethered = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            if number == signal.SIGHUP and tethered and not _has_terminal():
                stop.ask("the terminal was closed")
            elif number == signal.SIGHUP:
                reload()
            elif stop.is_asked:
                # The journal holds whatever is unfinished; a hanging drain must not need a third signal.
                os._exit(128 + number)
            else:
                stop.ask(signal.Signals(number).name)


def _has_terminal() -> bool:
    """Say whether a terminal controls this process; one that was closed does no longer."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
