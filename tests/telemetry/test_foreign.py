"""Lines of libraries and hooks join the log, masked, with the envelope they are about."""

from __future__ import annotations

import contextvars
import io
import json
import logging

import pytest
import structlog

from gateway.telemetry import Masks, about, open_log
from gateway.telemetry.foreign import catch_logging, catch_structlog

MASKS = Masks(["hunter22"])


@pytest.fixture
def root():
    root = logging.getLogger()
    level = root.level
    yield root
    root.setLevel(level)


def lines(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_what_a_library_logs_becomes_a_line(root):
    out = io.StringIO()
    with open_log(out, "json") as log:
        handler = catch_logging(log, masks=MASKS)
        try:
            logging.getLogger("h2").warning("login with %s failed", "hunter22")
            logging.getLogger("h2").info("chatter")
            try:
                1 / 0  # noqa: B018
            except ZeroDivisionError:
                logging.getLogger("grpclib").exception("broken")
        finally:
            root.removeHandler(handler)
    first, second = lines(out)
    assert (first["event"], first["level"], first["logger"]) == ("Logged", "warning", "h2")
    assert first["text"] == "login with [secret] failed"
    assert second["level"] == "error" and "ZeroDivisionError" in second["exception"]


def test_bytes_that_libraries_print_at_debug_stay_out_unless_texts_are_on(root):
    out = io.StringIO()
    with open_log(out, "json") as log:
        for texts in (False, True):
            handler = catch_logging(log, level="debug", masks=MASKS, texts=texts)
            try:
                logging.getLogger("h2").debug("frame %r", b"I am ill")
            finally:
                root.removeHandler(handler)
    assert [line["text"] for line in lines(out)] == ["frame b'I am ill'"]


def test_a_hook_may_use_structlog():
    out = io.StringIO()
    with open_log(out, "json") as log:
        catch_structlog(log, masks=MASKS)
        try:

            def hook():
                about("e1")
                structlog.get_logger().warning("odd", token="hunter22", n=3)
                structlog.get_logger().debug("chatter")

            contextvars.copy_context().run(hook)
        finally:
            structlog.reset_defaults()
    [line] = lines(out)
    assert (line["text"], line["token"], line["n"], line["envelope_id"]) == ("odd", "[secret]", 3, "e1")
    assert line["level"] == "warning"


def test_a_line_that_cannot_be_formed_harms_nobody_and_one_without_end_is_cut(root):
    out = io.StringIO()
    with open_log(out, "json") as log:
        handler = catch_logging(log, masks=MASKS)
        try:
            for text, given in (("%d new", ("three",)), ("x" * 1_000_000, ())):
                handler.handle(logging.LogRecord("hooks", logging.WARNING, "", 1, text, given, None))
        finally:
            root.removeHandler(handler)
    first, second = lines(out)
    assert (first["logger"], first["text"]) == ("hooks", "a line that cannot be formed: TypeError")
    assert second["text"].endswith("x… (1000000 characters)") and len(second["text"]) < 10_000
