"""Notices become log lines, metrics and a live view. See README.md."""

from __future__ import annotations

from gateway.telemetry.book import Book
from gateway.telemetry.context import about, current
from gateway.telemetry.latest import LatestErrors
from gateway.telemetry.lines import Masks
from gateway.telemetry.log import Log, open_log
from gateway.telemetry.report import make_report
from gateway.telemetry.tail import Gap, Seen, Watchers
from gateway.telemetry.verbosity import Verbosity

__all__ = [
    "Book",
    "Gap",
    "LatestErrors",
    "Log",
    "Masks",
    "Seen",
    "Verbosity",
    "Watchers",
    "about",
    "current",
    "make_report",
    "open_log",
]
