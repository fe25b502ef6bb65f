"""Find out who holds the event loop: a stall detector that names the task, and a gauge of how late the loop is.

A task step is what runs between two checkpoints; while it runs nobody else does. The
detector costs two calls and two clock readings a step, under a microsecond.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import trio

from gateway.notices import LoopStalled, Report

# Half of the 200 ms that a message may spend with us: one such step is felt by everyone in the gateway.
LONGEST_STEP_SECONDS = 0.1
# Twenty readings half a second apart: a scrape every ten seconds sees every late moment.
_READINGS, _EVERY_SECONDS = 20, 0.5


class StallDetector(trio.abc.Instrument):
    """Reports a task step that took longer than `longest_seconds`; add it with `trio.lowlevel.add_instrument`."""

    def __init__(
        self,
        report: Report,
        *,
        longest_seconds: float = LONGEST_STEP_SECONDS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._report, self._longest, self._clock = report, longest_seconds, clock
        self._began = clock()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = self._clock()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        seconds = self._clock() - self._began
        if seconds > self._longest:
            # In the task's own context, so that the line carries the envelope it was about.
            task.context.run(self._report, LoopStalled(name_of(task), seconds))


class LoopLag:
    """How late the loop wakes a sleeping task: `seconds` the last time, `worst` over the last ten seconds."""

    def __init__(self) -> None:
        self._readings: deque[float] = deque([0.0], maxlen=_READINGS)

    @property
    def seconds(self) -> float:
        return self._readings[-1]

    @property
    def worst(self) -> float:
        return max(self._readings)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + _EVERY_SECONDS
            await trio.sleep_until(due)
            self._readings.append(max(0.0, trio.current_time() - due))


def name_of(task: trio.lowlevel.Task) -> str:
    """Return the task's name and the line of ours where it has stopped, when it has not ended."""
    place = _place(task.coro)
    return f"{task.name} ({place})" if place else task.name


def _place(coroutine: Any) -> str:
    """Follow the awaits inwards; the innermost line outside Trio is where the step ended."""
    place = ""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None and not frame.f_globals.get("__name__", "").startswith("trio."):
            place = f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return place
