"""A bell in a watch: another thread has functions called in the loop, and says when nothing else is worth a wake-up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import trio

from protocols.transport.watch import Watch


class BellGone(Exception):
    """The bell was taken down: nobody in the loop will answer."""


class Bell:
    """Lets another thread have plain functions called in the loop, in the order of ringing.

    In a watch it does what Trio's `run_sync_soon` does at a quarter of the cost; without one it uses that.
    """

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch
        self._token = trio.lowlevel.current_trio_token()
        self._calls: deque[Callable[[], object]] = deque()
        self._hanging = threading.Lock()  # the watch's descriptor, once closed, may be somebody else's
        self._down = False
        if watch is not None:
            watch.add_bell(self._answer)
            watch.at_end(self._fall_back)

    def ring(self, call: Callable[[], object]) -> None:
        """Have `call` called soon; from any thread. It must not raise. Raises BellGone after `close`."""
        with self._hanging:
            if self._watch is not None:
                if self._down:
                    raise BellGone
                self._calls.append(call)
                self._watch.nudge()
                return
        try:
            self._token.run_sync_soon(call)
        except trio.RunFinishedError as error:
            raise BellGone from error

    def hush(self) -> None:
        """Let the watch hear nothing but bells until `hear`, of which the caller makes sure. From any thread."""
        with self._hanging:
            if self._watch is not None and not self._down:
                self._watch.hush()

    def hear(self) -> None:
        """Let the watch hear everything again. From any thread."""
        with self._hanging:
            if self._watch is not None and not self._down:
                self._watch.hear()

    def close(self) -> None:
        """Take the bell down. What was rung and not yet called is called now, and what these calls ring as well."""
        self._call_all()
        with self._hanging:
            self._unhook()
        self._call_all()

    def _fall_back(self) -> None:
        """The watch is over before the bell: its thread still needs answers to end, and gets them from Trio."""
        with self._hanging:
            if not self._down:
                self._unhook()
                self._watch = None
                self._token.run_sync_soon(self._call_all)

    def _unhook(self) -> None:
        if self._watch is not None and not self._down:
            self._watch.hear()
            self._watch.remove_bell(self._answer)
        self._down = True

    def _answer(self) -> None:
        calls = self._calls
        for _ in range(len(calls)):  # one that rings again waits for its turn
            calls.popleft()()

    def _call_all(self) -> None:
        while self._calls:
            self._calls.popleft()()
