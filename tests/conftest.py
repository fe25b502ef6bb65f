"""A test that stands still is ended after its limit, and says where it and each of its tasks stood.

With a mocked clock a deadlock is a loop at full CPU, and without one it is silence: neither ends by itself, and a whole
run that waits for it tells nothing. A limit is real time, far beyond what a test needs: a busy machine breaks none.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType

import pytest
import trio
from hypothesis import HealthCheck, settings

# The same examples every time, however long a busy machine takes over one: what a run says depends on the change alone.
# `pytest --hypothesis-profile explore` goes beyond them.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# With a mocked clock nothing waits, and the slowest test takes seconds; `pytest -o limit_seconds=…` for a slow machine.
LIMIT_SECONDS = 60
# With daemons, load and kills the slowest takes fifteen seconds, and five times as long on a busy machine.
REAL_LIMIT_SECONDS = 240
# Long proofs and real servers: half an hour of load, an installation of Synapse, hundreds of kills on a busy machine.
LONG_LIMIT_SECONDS = 5400
# For a step that never comes back to the interpreter; the whole run ends then.
GRACE_SECONDS = 30

# pytest has its own file in the place of stderr while a test runs.
_STDERR = os.dup(2)


class StoodStill(BaseException):
    """The test is over its limit; no `except Exception` of the code under test may keep it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "limit_seconds",
        "what a test with a mocked clock may take, in seconds; others four times as long",
        default=str(LIMIT_SECONDS),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    limit = _limit(item)
    ways = [_raise, _crash_the_loop]

    def end(_number: int, frame: FrameType | None) -> None:
        if ways:
            ways.pop()(StoodStill(f"{item.nodeid} stood still for {limit:g} s.\n{_everybody(frame)}"))

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit, GRACE_SECONDS / 3)
    faulthandler.dump_traceback_later(limit + GRACE_SECONDS, file=_STDERR, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _limit(item: pytest.Item) -> float:
    if any(item.get_closest_marker(name) for name in ("prove", "real")):
        return LONG_LIMIT_SECONDS
    mocked = "autojump_clock" in getattr(item, "fixturenames", ())
    return float(item.config.getini("limit_seconds")) * (1 if mocked else REAL_LIMIT_SECONDS / LIMIT_SECONDS)


def _crash_the_loop(error: StoodStill) -> None:
    """In a task of the loop's own: every other one is cancelled and cleans up behind itself."""

    async def crash() -> None:
        raise error

    try:
        token = trio.lowlevel.current_trio_token()
    except RuntimeError:
        raise error from None
    token.run_sync_soon(trio.lowlevel.spawn_system_task, crash)


def _raise(error: StoodStill) -> None:
    raise error


def _everybody(frame: FrameType | None) -> str:
    """Where the main thread, every other thread and every Trio task stand."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames() | {threading.main_thread().ident: frame}
    threads = [f"Thread {names.get(i)}:\n{''.join(traceback.format_stack(at)[-12:])}" for i, at in frames.items() if at]
    try:
        root = trio.lowlevel.current_root_task()
    except RuntimeError:
        root = None
    return "\n".join([*threads, *(_tasks(root, 0) if root is not None else ())])


def _tasks(task: trio.lowlevel.Task, depth: int) -> Iterator[str]:
    places = [f"{at.f_code.co_filename}:{line} {at.f_code.co_qualname}" for at, line in task.iter_await_frames()]
    yield "  " * depth + f"task {task.name}: " + " > ".join(place.rpartition("/site-packages/")[2] for place in places)
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _tasks(child, depth + 1)
