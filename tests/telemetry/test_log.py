"""The writer thread: everything arrives in order, a full queue is counted, a broken stream breaks nothing."""

from __future__ import annotations

import io
import json
import threading

from gateway.telemetry.log import open_log


class Stuck(io.StringIO):
    """A stream whose first write waits until it is let go."""

    def __init__(self):
        super().__init__()
        self.reached, self.let_go = threading.Event(), threading.Event()

    def write(self, text):
        self.reached.set()
        self.let_go.wait(60)
        return super().write(text)


class Broken(io.StringIO):
    def write(self, text):
        raise OSError("no space left on device")


def test_all_lines_are_written_in_order_before_the_log_closes():
    out = io.StringIO()
    with open_log(out, "json") as log:
        for number in range(100):
            log.put(lambda number=number: {"n": number})
    assert [json.loads(line)["n"] for line in out.getvalue().splitlines()] == list(range(100))


def test_lines_that_find_the_queue_full_are_dropped_and_counted_in_the_log():
    out = Stuck()
    with open_log(out, "json", longest_queue=5) as log:
        log.put(lambda: {"n": 0})
        assert out.reached.wait(60)
        for number in range(1, 11):
            log.put(lambda number=number: {"n": number})
        assert log.dropped == 5
        out.let_go.set()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line.get("n") for line in lines] == [0, 1, 2, 3, 4, 5, None]
    assert (lines[-1]["event"], lines[-1]["count"]) == ("LogLinesDropped", 5)


def test_a_stream_that_refuses_costs_lines_and_nothing_else():
    with open_log(Broken(), "json") as log:
        log.put(lambda: {"n": 0})
        log.put(lambda: {"n": 1})
    assert log.dropped == 2


def test_on_a_terminal_lines_are_pretty():
    out = io.StringIO()
    with open_log(out, "pretty") as log:
        log.put(lambda: {"time": "2023-11-14T22:13:20.250Z", "level": "info", "event": "GatewayReady", "seconds": 0.3})
    assert "2023-11-14T22:13:20.250Z" in out.getvalue()
    assert "GatewayReady" in out.getvalue() and "seconds=0.3" in out.getvalue()


def test_no_text_steers_the_terminal_that_lines_are_shown_on():
    out = io.StringIO()
    with open_log(out, "pretty") as log:
        log.put(lambda: {"event": "ChildCrashed", "error": "\x1b[2J\x9b1A\u202e", "exception": "one\n\x1b]0;two\x07"})
    assert "error=\ufffd[2J\ufffd1A\ufffd" in out.getvalue()
    assert out.getvalue().endswith("\none\n\ufffd]0;two\ufffd\n")
