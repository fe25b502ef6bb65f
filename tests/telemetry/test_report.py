"""One report: numbers move, lines of the right level are written, watchers see all or are told what they missed."""

from __future__ import annotations

import io
import json

import trio

from gateway import notices
from gateway.notices import (
    ChildChanged,
    ChildCrashed,
    EnvelopeAccepted,
    EnvelopeBuried,
    EnvelopeRefused,
    EnvelopeSettled,
    Notice,
    UnknownEvent,
)
from gateway.telemetry import Book, Gap, LatestErrors, Seen, Verbosity, Watchers, about, make_report, open_log
from gateway.telemetry.counts import MOST_SERIES
from gateway.telemetry.throttle import LINES_PER_SECOND

ACCEPTED = EnvelopeAccepted("e1", "shop", "c1")


def settled_report(book=None, watchers=None, log=None, **options):
    return make_report(book or Book(), watchers or Watchers(), log, lambda: 5.0, **options)


def test_a_notice_moves_its_numbers():
    book = Book()
    report = settled_report(book)
    report(ACCEPTED)
    report(ACCEPTED)
    report(EnvelopeRefused("shop", "overloaded"))
    report(EnvelopeSettled("e1", "shop", 1, 0.004))
    assert book.accepted.values == {("shop",): 2}
    assert book.refused.values == {("shop", "overloaded"): 1}
    assert book.overhead.quantile(0.99) == 0.005
    assert book.summary()["accepted"] == 2


def test_every_kind_of_notice_can_be_reported():
    samples = {str: "x", int: 1, float: 0.5, "str": "x", "int": 1, "float": 0.5}
    out = io.StringIO()
    with open_log(out, "json") as log:
        report = settled_report(log=log, verbosity=Verbosity("debug"))
        for kind in Notice.__subclasses__():
            fields = {name: samples[kind.__annotations__[name]] for name in kind.__struct_fields__}
            report(kind(**fields))
    assert len(out.getvalue().splitlines()) == len(Notice.__subclasses__())
    assert set(Book().entries) <= {kind for kind in vars(notices).values() if isinstance(kind, type)}


def test_only_lines_of_the_level_asked_for_are_logged():
    out = io.StringIO()
    with open_log(out, "json") as log:
        report = settled_report(log=log)
        report(ACCEPTED)
        report(EnvelopeRefused("shop", "overloaded"))
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["EnvelopeRefused"]


def test_a_storm_of_refusals_is_counted_whole_and_logged_in_part():
    out, book, moment = io.StringIO(), Book(), [5.0]
    with open_log(out, "json") as log:
        report = make_report(book, Watchers(), log, lambda: moment[0])
        for _ in range(1000):
            report(EnvelopeRefused("shop", "overloaded"))
        moment[0] = 7.0
        report(EnvelopeRefused("shop", "overloaded"))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == LINES_PER_SECOND + 2 and book.refused.total() == 1001
    assert (lines[-2]["event"], lines[-2]["of"], lines[-2]["count"]) == ("LogLinesSuppressed", "EnvelopeRefused", 950)


def test_what_an_alert_waits_for_is_shown_as_nought_before_it_happens():
    book = Book()
    report = settled_report(book)
    book.expect(["shop"])
    report(ChildChanged("irc", "starting"))
    assert book.dead.values == {("message", "shop"): 0, ("delivery", "shop"): 0}
    assert book.child_crashes.values == {("irc",): 0}
    report(EnvelopeBuried("e1", "shop", "poison"))
    report(ChildCrashed("irc", "OSError", 1.0))
    assert book.dead.values["message", "shop"] == 1 and book.child_crashes.values == {("irc",): 1}


def test_labels_from_outside_cannot_fill_the_memory():
    book = Book()
    report = settled_report(book)
    for number in range(2 * MOST_SERIES):
        report(UnknownEvent("shop", f"kind {number}"))
    assert len(book.unknown_events.values) == MOST_SERIES + 1
    assert book.unknown_events.values["other", "other"] == MOST_SERIES


async def test_every_line_of_a_task_carries_the_envelope_it_is_about():
    out = io.StringIO()
    with open_log(out, "json") as log:
        report = settled_report(log=log)

        async def walk(envelope_id):
            about(envelope_id)
            await trio.lowlevel.checkpoint()
            report(EnvelopeRefused("shop", "overloaded"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(walk, "e1")
            nursery.start_soon(walk, "e2")
        report(EnvelopeRefused("shop", "overloaded"))
    told = [json.loads(line).get("envelope_id") for line in out.getvalue().splitlines()]
    assert sorted(told[:2]) == ["e1", "e2"] and told[2] is None


async def test_a_slow_watcher_loses_notices_and_is_told_how_many():
    watchers = Watchers()
    report = settled_report(watchers=watchers)
    with watchers.watch(queue=3) as slow, watchers.watch() as quick:
        for _ in range(10):
            report(ACCEPTED)
        assert [slow.receive_nowait() for _ in range(3)] == [Seen(5.0, ACCEPTED, "e1")] * 3
        report(ACCEPTED)
        assert slow.receive_nowait() == Gap(7)
        assert slow.receive_nowait() == Seen(5.0, ACCEPTED, "e1")
        assert quick.statistics().current_buffer_used == 11
    report(ACCEPTED)
    assert watchers.all == []


def test_the_latest_errors_are_remembered_newest_first():
    latest = LatestErrors()
    report = settled_report(latest=latest)
    for number in range(25):
        report(EnvelopeBuried(f"e{number}", "shop", "poison"))
        report(ACCEPTED)
    ids = [seen.envelope_id for seen in latest.read()]
    assert ids == [f"e{number}" for number in range(24, 4, -1)]


def test_verbosity_is_changed_while_everything_reports():
    out, verbosity = io.StringIO(), Verbosity("debug")
    with open_log(out, "json") as log:
        report = settled_report(log=log, verbosity=verbosity)
        report(ACCEPTED)
        verbosity.change("warning", texts=True)
        report(ACCEPTED)
        report(EnvelopeRefused("shop", "bad_field", "found 'what anna wrote'"))
        verbosity.change("warning", texts=False)
        report(EnvelopeRefused("shop", "bad_field", "found 'what anna wrote'"))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["EnvelopeAccepted", "EnvelopeRefused", "EnvelopeRefused"]
    assert ["anna" in line.get("detail", "") for line in lines[1:]] == [True, False]
