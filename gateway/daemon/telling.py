"""Everything through which the gateway tells of itself: log, counters, watchers, how late the loop is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from msgspec import Struct

from gateway.config.secret import Secret
from gateway.config.settings import Settings
from gateway.notices import Report
from gateway.telemetry.book import Book
from gateway.telemetry.foreign import catch_logging
from gateway.telemetry.latest import LatestErrors
from gateway.telemetry.lines import Masks
from gateway.telemetry.log import Format, Log, open_log
from gateway.telemetry.report import make_report
from gateway.telemetry.stall import LoopLag
from gateway.telemetry.tail import Watchers
from gateway.telemetry.verbosity import Verbosity


class Telling(Struct, frozen=True, kw_only=True):
    """The open ends: where notices go, and what may be read of them."""

    report: Report
    book: Book
    watchers: Watchers
    latest: LatestErrors
    masks: Masks
    lag: LoopLag
    log: Log
    verbosity: Verbosity

    @property
    def texts(self) -> bool:
        """Whether texts that may quote messages may be shown, at the moment."""
        return self.verbosity.texts


def secrets_of(settings: Any) -> Iterator[str]:
    """Find the value of every secret that the settings resolved, however deep it stands."""
    if isinstance(settings, Secret):
        if settings.known:
            yield settings.reveal()
    elif isinstance(settings, Struct):
        for name in settings.__struct_fields__:
            yield from secrets_of(getattr(settings, name))
    elif isinstance(settings, dict):
        for value in settings.values():
            yield from secrets_of(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from secrets_of(value)


@contextmanager
def open_telling(settings: Settings, stream: IO[str] = sys.stderr) -> Iterator[Telling]:
    """Open the log and what counts beside it; on leaving, what is queued is written. Opened outside the loop."""
    gateway = settings.gateway
    form: Format = "pretty" if stream.isatty() else "json"
    if gateway.log_format != "auto":
        form = gateway.log_format
    with open_log(stream, form) as log:
        book, watchers, latest, masks = Book(), Watchers(), LatestErrors(), Masks()
        masks.add(*secrets_of(settings))
        book.expect(settings.channels)
        catch_logging(log, masks=masks)
        verbosity = Verbosity(gateway.log_level, texts=gateway.log_content)
        report = make_report(book, watchers, log, time.time, verbosity=verbosity, masks=masks, latest=latest)
        yield Telling(
            report=report,
            book=book,
            watchers=watchers,
            latest=latest,
            masks=masks,
            lag=LoopLag(),
            log=log,
            verbosity=verbosity,
        )
