"""Everything through which the gateway tells of itself: log, counters, watchers, how late the loop is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from msgspec import Struct

from gateway.config.settings import Settings
from gateway.notices import Report
from gateway.telemetry.book import Book
from gateway.telemetry.latest import LatestErrors
from gateway.telemetry.lines import Masks
from gateway.telemetry.log import Format, open_log
from gateway.telemetry.report import make_report
from gateway.telemetry.stall import LoopLag
from gateway.telemetry.tail import Watchers


class Telling(Struct, frozen=True, kw_only=True):
    """The open ends: where notices go, and what may be read of them."""

    report: Report
    book: Book
    watchers: Watchers
    latest: LatestErrors
    masks: Masks
    lag: LoopLag
    texts: bool


@contextmanager
def open_telling(settings: Settings, stream: IO[str] = sys.stderr) -> Iterator[Telling]:
    """Open the log and what counts beside it; on leaving, what is queued is written. Opened outside the loop."""
    gateway = settings.gateway
    form: Format = "pretty" if stream.isatty() else "json"
    if gateway.log_format != "auto":
        form = gateway.log_format
    with open_log(stream, form) as log:
        book, watchers, latest, masks = Book(), Watchers(), LatestErrors(), Masks()
        report = make_report(
            book,
            watchers,
            log,
            time.time,
            level=gateway.log_level,
            masks=masks,
            latest=latest,
            texts=gateway.log_content,
        )
        yield Telling(
            report=report,
            book=book,
            watchers=watchers,
            latest=latest,
            masks=masks,
            lag=LoopLag(),
            texts=gateway.log_content,
        )
