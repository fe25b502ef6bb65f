"""Write log lines without ever holding up the loop: a bounded queue, and a thread that renders and writes.

What does not fit the queue is dropped and counted, and the count becomes a line of its own
as soon as there is room. The light JSON renderer needs no structlog, whose import costs
about 100 ms of CPU; the pretty one for terminals is structlog's, imported by the thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal

from gateway.telemetry.journald import is_journald, marked
from gateway.telemetry.lines import harmless, json_line, stamp

Format = Literal["json", "pretty"]
Render = Callable[[dict[str, Any]], str]
Lazy = Callable[[], dict[str, Any]]

# At 300 bytes a line about 3 MB: what a stuck disk may pile up before lines are dropped.
LONGEST_QUEUE = 10_000
# How long a stop waits for the last lines; a disk that takes longer keeps them.
FAREWELL_SECONDS = 2.0


class Log:
    """The door to the writer thread. `dropped` counts the lines that found the queue full or could not be written."""

    def __init__(self, stream: IO[str], form: Format, *, longest_queue: int = LONGEST_QUEUE) -> None:
        self._stream, self._form, self._longest = stream, form, longest_queue
        self._queue: queue.SimpleQueue[Lazy | None] = queue.SimpleQueue()
        self._untold = 0
        self.dropped = 0

    def put(self, line: Lazy) -> None:
        """Hand over a line from any thread. Never waits; `line()` makes the record in the writer thread."""
        if self._queue.qsize() >= self._longest:
            self._untold += 1
            self.dropped += 1
        else:
            self._queue.put(line)

    def close(self) -> None:
        """End the writer after what is queued; lines handed over later are never written."""
        self._queue.put(None)

    def write_all(self) -> None:
        """Be the writer thread: render and write until closed. A stream that refuses costs lines, not the thread."""
        render = pretty_renderer(self._stream) if self._form == "pretty" else json_line
        if is_journald(self._stream):
            render = _graded(render)
        while (line := self._queue.get()) is not None:
            self._write(render, line)
            if self._queue.empty():
                self._tell_dropped(render)
                self._flush()
        self._tell_dropped(render)
        self._flush()

    def _tell_dropped(self, render: Render) -> None:
        if self._untold:
            untold, self._untold = self._untold, 0
            self._write(render, lambda: _dropped_line(untold))

    def _write(self, render: Render, line: Lazy) -> None:
        try:
            self._stream.write(render(line()))
        except Exception:
            self.dropped += 1

    def _flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += 1


@contextmanager
def open_log(stream: IO[str], form: Format, *, longest_queue: int = LONGEST_QUEUE) -> Iterator[Log]:
    """Run the writer thread; on leaving, wait up to two seconds for the last lines.

    Opened around `trio.run`, not inside it: leaving blocks the thread.
    """
    log = Log(stream, form, longest_queue=longest_queue)
    # A daemon thread, so that a stuck disk cannot keep the process from ending.
    writer = threading.Thread(target=log.write_all, name="oclaw-log", daemon=True)
    writer.start()
    try:
        yield log
    finally:
        log.close()
        writer.join(FAREWELL_SECONDS)


def pretty_renderer(stream: IO[str]) -> Render:
    """Return structlog's console renderer, in colour where `stream` is a terminal; no text steers that."""
    from structlog.dev import ConsoleRenderer

    console = ConsoleRenderer(colors=stream.isatty(), timestamp_key="time", sort_keys=False)
    return lambda record: console(None, "", {key: harmless(value) for key, value in record.items()}) + "\n"


def _graded(render: Render) -> Render:
    return lambda record: marked(render(record), str(record.get("level", "")))


def _dropped_line(count: int) -> dict[str, Any]:
    return {"time": stamp(time.time()), "level": "warning", "event": "LogLinesDropped", "count": count}
