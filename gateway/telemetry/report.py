"""Make the one function through which the whole gateway reports: count it, log it, show it to who watches.

The function is synchronous, never waits and never raises. It belongs to the loop's thread;
another thread comes through `trio.from_thread.run_sync`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.notices import Notice, Report
from gateway.telemetry.book import Book, Entry
from gateway.telemetry.context import current
from gateway.telemetry.latest import LatestErrors
from gateway.telemetry.lines import LEVELS, Masks, envelope_of, record_of, stamp
from gateway.telemetry.log import Log
from gateway.telemetry.tail import Seen, Watchers
from gateway.telemetry.throttle import SUPPRESS, Throttle
from gateway.telemetry.verbosity import Verbosity


def make_report(
    book: Book,
    watchers: Watchers,
    log: Log | None,
    now: Callable[[], float],
    *,
    verbosity: Verbosity | None = None,
    masks: Masks | None = None,
    latest: LatestErrors | None = None,
) -> Report:
    """Build it. Notices that `verbosity` leaves out are counted and shown, and not logged.

    `latest` remembers errors for `oclaw status`.
    """
    verbosity, masks, throttle = verbosity or Verbosity(), masks or Masks(), Throttle()
    entries: dict[type[Notice], Entry] = book.entries
    watching = watchers.all
    # Most notices are of this kind, so they are counted and gone after one look.
    unseen = verbosity.unlogged if log is not None else LEVELS.keys() - {"error"}

    def report(notice: Notice) -> None:
        kind = type(notice)
        if kind in entries:
            entries[kind](notice)
        if watching or notice.level not in unseen:
            show(notice)

    def show(notice: Notice) -> None:
        for watcher in watching:
            watcher.put(_seen(notice, now()))
        if latest is not None and notice.level == "error":
            latest.put(_seen(notice, now()))
        if log is not None and notice.level not in unseen:
            at = now()
            suppressed = throttle.admit(type(notice), at) if verbosity.level != "debug" else 0
            if suppressed > 0:
                log.put(_sum_of(type(notice), suppressed, at))
            if suppressed != SUPPRESS:
                log.put(_line(notice, at, masks, texts=verbosity.texts))

    return report


def _sum_of(kind: type[Notice], count: int, at: float) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "time": stamp(at),
        "level": "warning",
        "event": "LogLinesSuppressed",
        "of": kind.__name__,
        "count": count,
    }


def _seen(notice: Notice, at: float) -> Seen:
    return Seen(at, notice, envelope_of(notice) or current())


def _line(notice: Notice, at: float, masks: Masks, *, texts: bool) -> Callable[[], dict[str, Any]]:
    # The context is the reporting task's: read it here, render in the writer thread.
    envelope_id = current()
    return lambda: record_of(notice, at, masks=masks, envelope_id=envelope_id, texts=texts)
