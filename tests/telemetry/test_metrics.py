"""A scrape: every number in Prometheus' own words, gauges read at that moment."""

from __future__ import annotations

import builtins

import pytest

from gateway.notices import DeadLettersShed, DeliverySettled, EnvelopeAccepted, EnvelopeBuried, EnvelopeSettled
from gateway.telemetry import Book, Watchers, make_report
from gateway.telemetry.metrics import Gauge, Metrics


async def scrape(metrics):
    from prometheus_client.parser import text_string_to_metric_families

    content_type, text = await metrics.scrape()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_notices_are_found_again_in_the_scrape():
    book = Book()
    report = make_report(book, Watchers(), None, lambda: 0.0)
    metrics = Metrics(book)
    report(EnvelopeAccepted("e1", "shop", "c"))
    report(EnvelopeSettled("e1", "shop", 1, 0.004))
    report(EnvelopeSettled("e2", "shop", 1, 9.0))
    report(DeliverySettled("e1.0", "shop", 1, 0.03))
    report(EnvelopeBuried("e2", "shop", "poison"))
    report(DeadLettersShed(7))
    found = await scrape(metrics)
    assert found["oclaw_accepted_total", ("channel", "shop")] == 1
    assert found["oclaw_dead_total", ("channel", "shop"), ("kind", "message")] == 1
    assert found["oclaw_dead_shed_total",] == 7
    assert found["oclaw_overhead_seconds_bucket", ("le", "0.003")] == 0
    assert found["oclaw_overhead_seconds_bucket", ("le", "0.005")] == 1
    assert found["oclaw_overhead_seconds_bucket", ("le", "+Inf")] == 2
    assert found["oclaw_overhead_seconds_count",] == 2
    assert found["oclaw_overhead_seconds_sum",] == 9.004
    assert found["oclaw_delivery_seconds_count", ("channel", "shop")] == 1


async def test_numbers_without_labels_are_there_before_anything_happened():
    found = await scrape(Metrics(Book()))
    assert found["oclaw_journal_failures_total",] == 0
    assert found["oclaw_overhead_seconds_count",] == 0


async def test_the_process_is_measured_where_the_rest_of_proc_is_hidden(monkeypatch):
    opened = builtins.open

    def hides(path, *rest, **more):
        if path == "/proc/stat":
            raise FileNotFoundError(path)
        return opened(path, *rest, **more)

    from prometheus_client import ProcessCollector

    theirs = {
        sample.name: sample.value for family in ProcessCollector(registry=None).collect() for sample in family.samples
    }
    assert len(theirs) == 6
    monkeypatch.setattr(builtins, "open", hides)
    metrics = Metrics(Book())
    found = {name[0]: value for name, value in (await scrape(metrics)).items() if name[0].startswith("process_")}
    assert found.keys() == theirs.keys()
    assert found["process_max_fds"] == theirs["process_max_fds"]
    assert found["process_start_time_seconds"] == pytest.approx(theirs["process_start_time_seconds"], abs=2)
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes"):
        assert 0.5 * theirs[name] < found[name] < 2 * theirs[name] + 1
    assert (await scrape(metrics))["process_start_time_seconds",] == found["process_start_time_seconds"]


async def test_gauges_are_read_when_they_are_asked_for():
    depth = {"lanes": 1.0}
    metrics = Metrics(Book(), [Gauge("oclaw_queue_depth", "Waiting.", lambda: depth, ("queue",))])
    metrics.gauges.append(Gauge("oclaw_child_state", "1.", lambda: {("irc", "ready"): 1}, ("child", "state")))
    metrics.gauges.append(Gauge("oclaw_loop_lag_seconds", "Late.", lambda: 0.25))
    assert (await scrape(metrics))["oclaw_queue_depth", ("queue", "lanes")] == 1
    depth["lanes"] = 7.0
    found = await scrape(metrics)
    assert found["oclaw_queue_depth", ("queue", "lanes")] == 7
    assert found["oclaw_child_state", ("child", "irc"), ("state", "ready")] == 1
    assert found["oclaw_loop_lag_seconds",] == 0.25


async def test_a_scraper_that_prefers_openmetrics_gets_it():
    content_type, text = await Metrics(Book()).scrape("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


async def test_a_label_that_has_no_utf_8_costs_a_character_and_not_the_answer():
    book = Book()
    make_report(book, Watchers(), None, lambda: 0.0)(EnvelopeAccepted("e1", "a\ud800b", "c"))
    gauge = Gauge("oclaw_queue", "Waiting.", lambda: {"\udcff": 1.0}, ("queue",))
    found = await scrape(Metrics(book, [gauge]))
    assert found["oclaw_accepted_total", ("channel", "a\ufffdb")] == 1
    assert found["oclaw_queue", ("queue", "\ufffd")] == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
async def test_a_scraper_that_wants_a_version_there_cannot_be_gets_the_usual_one(kind):
    content_type, _ = await Metrics(Book()).scrape(f"{kind};version=1.a")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
