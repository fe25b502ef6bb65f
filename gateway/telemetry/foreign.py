"""Bring the lines of code that is not ours into the same log: `logging` of libraries, structlog in hooks.

Without this they would write to stderr or stdout by themselves, in another form, and wait for
the disk in the middle of the loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from gateway.telemetry.context import current
from gateway.telemetry.lines import LEVELS, Masks, shortened, stamp
from gateway.telemetry.log import Lazy, Log

# At "debug" libraries print the bytes they see, which are what people wrote: never below "info" unless texts are on.
_FLOOR = "info"
# structlog's words for levels that have another name here.
_WORDS = {"critical": "error", "exception": "error", "warn": "warning", "msg": "info"}


def catch_logging(log: Log, *, level: str = "warning", masks: Masks, texts: bool = False) -> logging.Handler:
    """Send what libraries log to `log`; return the handler, to be taken off the root logger again."""
    handler = _ToLog(log, masks)
    handler.setLevel(LEVELS[_at_least(level, texts=texts)])
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(handler.level)
    return handler


def catch_structlog(log: Log, *, level: str = "info", masks: Masks, texts: bool = False) -> None:
    """Send what hooks and plugins say through structlog to `log`.

    Imports structlog, about 100 ms of CPU: call it once operator code that uses it is loaded.
    """
    import structlog

    def hand_over(_: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        fields = {key: value if isinstance(value, int | float) else str(value) for key, value in event.items()}
        log.put(
            _line(_WORDS.get(method, method), str(fields.pop("event", "")), {"logger": "structlog", **fields}, masks)
        )
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, hand_over],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[_at_least(level, texts=texts)]),
        cache_logger_on_first_use=True,
    )


class _ToLog(logging.Handler):
    def __init__(self, log: Log, masks: Masks) -> None:
        super().__init__()
        self._log, self._masks = log, masks

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.put(self._told(record))
        except Exception as error:  # as of warning("%d", "x"): no more than a line is lost, as everywhere in `logging`
            text = f"a line that cannot be formed: {type(error).__name__}"
            self._log.put(_line("warning", text, _of(record), self._masks))

    def _told(self, record: logging.LogRecord) -> Lazy:
        fields = _of(record)
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        level = next(name for name in reversed(LEVELS) if record.levelno >= LEVELS[name] or name == "debug")
        return _line(level, record.getMessage(), fields, self._masks)


def _of(record: logging.LogRecord) -> dict[str, Any]:
    return {"logger": record.name}


def _line(level: str, text: str, fields: dict[str, Any], masks: Masks) -> Lazy:
    at, envelope_id = time.time(), current()

    def line() -> dict[str, Any]:
        told = {"time": stamp(at), "level": level, "event": "Logged", "text": text}
        if envelope_id:
            told["envelope_id"] = envelope_id
        # Ours win: a field named "level" must not pass for the line's own.
        told = {**told, **{key: value for key, value in fields.items() if key not in told}}
        return {key: shortened(masks.hide(value)) if isinstance(value, str) else value for key, value in told.items()}

    return line


def _at_least(level: str, *, texts: bool) -> str:
    return level if texts else max(level, _FLOOR, key=LEVELS.__getitem__)
