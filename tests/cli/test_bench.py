"""`oclaw bench`: the generator leaves no waiting out, and a whole gateway is measured without touching any other."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.frame import oclaw
from gateway.cli.measure.figures import FlowFigures, Machine, PartFigures, Report, Window, quantile
from gateway.cli.measure.load import Load
from gateway.cli.measure.machine import stolen_seconds
from gateway.cli.measure.own import own_rules
from gateway.cli.measure.table import lines
from gateway.cli.measure.wire import Buffer

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def gateway(behave: Callable[[int], bytes]) -> Iterator[int]:
    """Answer each message as `behave(number)` says, and pass on what was accepted to its reply_to; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(plug: socket.socket) -> None:
        buffer, sink = Buffer(), None
        while received := plug.recv(65536):
            for _, body in buffer.feed(received):
                asked = json.loads(body)
                answer = behave(asked["id"])
                plug.sendall(answer)
                if answer == BUSY:
                    continue
                port = int(asked["reply_to"].split(":")[2].split("/")[0])
                sink = sink or socket.create_connection(("127.0.0.1", port))
                reply = json.dumps({"id": asked["id"]}).encode()
                sink.sendall(b"POST /sink HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)
                sink.recv(1000)

    def listen() -> None:
        while True:
            try:
                plug, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(plug,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@pytest.fixture
def load() -> Iterator[Load]:
    made = Load("/in")
    yield made
    made.close()


def measured(load: Load, behave: Callable[[int], bytes], rate: float, seconds: float) -> Window:
    with gateway(behave) as port:
        load.aim(port)
        return load.run(rate, seconds, time.process_time)


def test_everything_that_is_sent_is_accounted_for(load: Load) -> None:
    window = measured(load, lambda number: ACCEPTED, 200, 0.5)
    assert (window.sent, window.arrived, window.lost, window.repeated, window.errors) == (100, 100, 0, 0, {})
    assert 0 < window.p50_ms <= window.p99_ms <= window.max_ms


def test_a_stall_is_seen_by_every_message_that_was_due_meanwhile(load: Load) -> None:
    gate = threading.Lock()

    def stall_once(number: int) -> bytes:
        with gate:  # everybody waits while one is slow
            if number == 5:
                time.sleep(0.3)
        return ACCEPTED

    window = measured(load, stall_once, 100, 0.4)
    assert window.lost == 0
    assert window.p50_ms > 30, "most messages were due during the stall"


def test_a_refusal_is_an_error_and_a_loss_that_is_not_waited_for(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.measure.load.PATIENCE_SECONDS", 1e6)
    window = measured(load, lambda number: BUSY if number % 10 == 0 else ACCEPTED, 100, 0.5)
    assert window.errors == {"503": 5}
    assert window.lost == 5
    assert not window.sustained


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 7))
def test_messages_are_cut_the_same_however_they_arrive(bodies: list[bytes], step: int) -> None:
    stream = b"".join(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body for body in bodies)
    buffer, heard = Buffer(), list[bytes]()
    for start in range(0, len(stream), step):
        heard += [body for _, body in buffer.feed(stream[start : start + step])]
    assert heard == bodies


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert [quantile([1, 2, 3, 4], share) for share in (0, 0.5, 0.99)] == [1, 3, 4]
    assert quantile([], 0.5) == 0


def test_the_rules_are_measured_without_the_secrets(tmp_path: Path) -> None:
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "a.rules").write_text('WHEN message.channel == "desk" THEN tag("x")\n')
    (tmp_path / "oclaw.toml").write_text('[channels.desk]\ntype = "webhook"\nsecrets = ["env:NOT_SET_ANYWHERE"]\n')
    ruleset, channels = own_rules(tmp_path)
    assert len(ruleset.rules()) == 1
    assert channels == ["desk"]


def test_a_report_reads_as_a_table() -> None:
    window = Window(
        rate=1000, seconds=5, sent=5000, arrived=4999, repeated=0, errors={"503": 1}, achieved=998.2, p50_ms=1.2,
        p90_ms=2, p99_ms=3.44, p999_ms=5, max_ms=9, ack_p50_ms=1, ack_p99_ms=2, late_ms=0.1, load_cpu=0.2, cpu=0.41,
        rss_mib=50, stolen=0.0213,
    )  # fmt: skip
    flow = FlowFigures(cold_start_seconds=[0.3], idle_rss_mib=41.2, windows=[window], max_sustained=0.0, pinned=True)
    parts = PartFigures(
        seal_us=8, open_us=6, sealed_bytes=300, rules=1, decide_us=1, decide_p99_us=2, syncs_per_second=900,
        sync_p99_ms=1.5, sync_max_ms=140, rows_per_second_alone=500, rows_per_second=20_000,
    )  # fmt: skip
    machine = Machine("2026-01-02", "A processor", 2, "3.11.9", "Linux 6", 0.1)
    text = "\n".join(lines(Report(machine=machine, parts=parts, flow=flow)))
    assert "900 syncs a second, 99 of 100 within 1.5 ms, the longest 140 ms" in text
    assert "1 × 503, the host took 2.1% of a core" in text
    for words in ("A processor, 2 cores", "decide by 1 rule ", "41 MiB", "3.4", "busy"):
        assert (words in text) == (words != "busy"), words


@pytest.mark.parametrize(("line", "ticks"), [("cpu  9 0 7 80 1 0 2 250 0 0\ncpu0 1", 250), ("cpu 1 2 3 4", 0), ("", 0)])
def test_what_the_host_took_away_is_read_from_the_kernel(tmp_path: Path, line: str, ticks: int) -> None:
    (tmp_path / "stat").write_text(line)
    assert stolen_seconds(tmp_path / "stat") == ticks / os.sysconf("SC_CLK_TCK")
    assert stolen_seconds(tmp_path / "nowhere") == 0.0


def test_a_whole_gateway_is_measured(tmp_path: Path) -> None:
    asked = ["bench", "--config", str(tmp_path), "--disk", str(tmp_path), "--rates", "50", "--seconds", "0.5"]
    answer = CliRunner().invoke(oclaw, [*asked, "--starts", "1", "--no-search", "--json"], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    report = msgspec.json.decode(answer.stdout, type=Report)
    assert report.flow is not None and report.parts is not None
    assert report.flow.windows[0].lost == 0
    assert len(report.flow.cold_start_seconds) == 1
    assert report.parts.seal_us > 0 and report.parts.rows_per_second > 0
    assert 0 < report.parts.sync_p99_ms <= report.parts.sync_max_ms
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", ["inf", "0", "many"])
@pytest.mark.parametrize("asked", [["bench", "--rates"], ["verify", "--rate"]])
def test_a_rate_that_is_none_is_wrong_usage(asked: list[str], rate: str) -> None:
    assert CliRunner().invoke(oclaw, [*asked, rate]).exit_code == 2
