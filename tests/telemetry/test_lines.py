"""Notices as lines: complete, one line each, and without secrets or quoted texts."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.notices import (
    ChildChanged,
    ChildCrashed,
    DeliveryBuried,
    DeliveryDeferred,
    DeliverySettled,
    EnvelopeAccepted,
    EnvelopeBuried,
    EnvelopeRefused,
    EnvelopeRejected,
    HookFailed,
    JournalCallbackFailed,
    RuleFailed,
    StepFailed,
    TypingFailed,
)
from gateway.telemetry.lines import Masks, json_line, record_of


def line(notice, **options):
    return json.loads(json_line(record_of(notice, 1700000000.25, masks=options.pop("masks", Masks()), **options)))


def test_a_line_has_the_time_the_level_the_event_and_every_field():
    assert line(EnvelopeRefused("shop", "overloaded", "journal backlog 5000")) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "event": "EnvelopeRefused",
        "channel": "shop",
        "reason": "overloaded",
        "detail": "journal backlog 5000",
    }


def test_the_notices_own_envelope_wins_over_the_tasks():
    assert line(ChildCrashed("irc", "boom", 1.0), envelope_id="e1")["envelope_id"] == "e1"
    assert line(EnvelopeAccepted("e2", "shop", "c"), envelope_id="e1")["envelope_id"] == "e2"


def test_a_line_about_a_delivery_names_its_envelope_too():
    told = line(DeliverySettled("e1.0", "shop", 1, 0.5))
    assert (told["envelope_id"], told["delivery_id"]) == ("e1", "e1.0")


def test_what_is_empty_is_not_written():
    assert "why" not in line(ChildChanged("irc", "ready"))


def test_a_span_of_time_is_told_to_the_microsecond():
    assert line(DeliveryDeferred("e1.0", "shop", 1, 3600.0587232112885, "busy"))["after_seconds"] == 3600.058723


def test_a_known_secret_is_masked_wherever_it_stands():
    masks = Masks(["hunter22"])
    masks.add("hunter22-long", "abc")
    told = line(ChildCrashed("irc", "login hunter22 and hunter22-long abc failed", 1.0), masks=masks)
    assert told["error"] == "login [secret] and [secret] abc failed"


def test_an_exception_that_may_quote_a_message_is_cut_unless_texts_are_switched_on():
    notice = HookFailed("e1", "my_hooks:check", "ValueError: bad word in 'I am ill' [hooks/my.py:3]", "reject")
    assert line(notice)["error"] == "ValueError: (text withheld) [hooks/my.py:3]"
    assert "I am ill" in line(notice, texts=True)["error"]
    assert line(HookFailed("e1", "h", "I am ill: said so", "skip"))["error"] == "(text withheld)"


@settings(max_examples=100)
@given(st.text())
def test_no_text_can_forge_a_second_line(text):
    written = json_line(record_of(ChildCrashed("irc", text, 1.0), 0.0, masks=Masks()))
    assert written.count("\n") == 1 and written.splitlines(keepends=False)[0].startswith("{")


def test_a_reason_keeps_its_words_and_loses_what_an_exception_quotes():
    def why(notice, field="why"):
        return line(notice)[field]

    said = "invalid literal for int() with base 10: 'I am ill'"
    assert why(EnvelopeRejected("e", "c", "hooks", "h", "Invalid content")) == "Invalid content"
    assert why(EnvelopeRejected("e", "c", "hooks", "h", "it isn't what we're for")) == "it isn't what we're for"
    assert why(EnvelopeRejected("e", "c", "hooks", "h", said)) == said.replace("'I am ill'", "(text withheld)")
    assert why(EnvelopeRejected("e", "c", "hooks", "h", "KeyError: 'I\nam ill'")) == "KeyError: (text withheld)"
    assert why(EnvelopeRejected("e", "c", "rules", "r", "on the 'red' list")) == "on the 'red' list"
    assert why(EnvelopeBuried("e", "c", "step say: KeyError: I am ill")) == "step say: KeyError: (text withheld)"
    assert why(StepFailed("e", "p", "say", "no answer within 60 s")) == "no answer within 60 s"
    assert why(StepFailed("e", "p", "say", "KeyError: 'I am ill'")) == "KeyError: (text withheld)"
    assert why(DeliveryBuried("e.0", "c", "gave up after 3 attempts: OddError: ill")).endswith(
        "OddError: (text withheld)"
    )
    assert why(DeliveryDeferred("e.0", "c", 1, 1.0, "The destination answered 503.")).endswith("503.")
    assert why(RuleFailed("e", "r", "greet", "KeyError: 'I am ill'")) == "KeyError: (text withheld)"
    assert why(RuleFailed("e", "r", "greet", "no installed package brings it any more")).startswith("no installed")
    assert why(TypingFailed("c", "ValueError: I am ill")) == "ValueError: (text withheld)"
    assert why(JournalCallbackFailed("KeyError: 'I am ill'"), "error") == "KeyError: (text withheld)"
    detail = "/conversation is the text 'I am ill'; it must be an object."
    assert why(EnvelopeRefused("c", "bad_field", detail), "detail") == detail.replace("'I am ill'", "(text withheld)")
    assert "I am ill" in line(EnvelopeRejected("e", "c", "hooks", "h", said), texts=True)["why"]


def test_half_a_surrogate_pair_costs_a_character_and_not_the_line():
    assert line(ChildCrashed("irc", "a\ud800b", 1.0))["error"] == "a\ufffdb"


@settings(max_examples=100)
@given(st.text("\"'a_ \n", max_size=30))
def test_what_stands_between_quotation_marks_is_withheld(said):
    pattern = re.compile(r"""(?<!\w)(["'])(?:.+?)\1(?!\w)""", re.DOTALL)
    told = line(EnvelopeRejected("e", "c", "hooks", "h", f".{said}"))["why"]
    assert told == pattern.sub("(text withheld)", f".{said}")


def test_marks_without_a_counterpart_cost_one_walk_and_not_a_walk_each():
    said = "no 'x" + " 'x" * 350_000  # a pattern would take minutes, and Python's lock with them
    assert line(EnvelopeRejected("e", "c", "hooks", "h", said))["why"] == "no (text withheld)"
    said = "no 'x" + " 'x" * 2000
    assert line(EnvelopeRejected("e", "c", "hooks", "h", said))["why"] == said


def test_what_steers_a_terminal_is_escaped_and_reads_as_it_was():
    said = "\x1b[2J \x7f \x9b1A \u2028 \u202e"
    written = json_line(record_of(ChildCrashed("irc", said, 1.0), 0.0, masks=Masks()))
    assert written.isascii() and written.rstrip("\n").isprintable()
    assert json.loads(written)["error"] == said
