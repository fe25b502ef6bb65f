"""Text is composed as Unicode says, in time that its writer cannot drive up."""

from __future__ import annotations

import re
import sys
from unicodedata import combining, decomposition, is_normalized, normalize

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.message.message import nfc as gateways
from rules.composing import _DOUBLE, JOINER, MOST_MARKS, SHORT, nfc
from tests.rules.language import acts, loaded

ABOVE, BELOW, TIBETAN = "\u0300", "\u0316", "\u0f73"
MARKS = st.text(st.sampled_from([ABOVE, BELOW, TIBETAN, "e", "\U0001d165"]), max_size=80)


def test_half_a_megabyte_of_marks_in_the_wrong_order_is_composed_at_once():
    made = nfc("a" + ABOVE * 250_000 + BELOW * 250_000)
    assert is_normalized("NFC", made)
    assert all(len(run) <= MOST_MARKS for run in re.findall(f"[{ABOVE}{BELOW}]+", made))
    assert made.replace(JOINER, "").count(BELOW) == 250_000


def test_signs_that_become_marks_only_when_they_are_taken_apart_are_composed_at_once_too():
    made = nfc("a" + TIBETAN * 150_000)
    assert is_normalized("NFC", made)
    assert max(map(len, made.split(JOINER))) <= MOST_MARKS + 1


@given(st.text(max_size=20), MARKS)
@settings(max_examples=100)
@example("", BELOW * 40)
@example("", TIBETAN * 16)
def test_it_is_the_standards_form_and_composing_twice_changes_nothing(text: str, marks: str):
    long = "ä" * SHORT + text + marks
    assert is_normalized("NFC", nfc(long))
    assert nfc(nfc(long)) == nfc(long) == gateways(long)
    assert nfc(text + marks) == normalize("NFC", text + marks) == gateways(text + marks)
    if JOINER not in nfc(long):
        assert nfc(long) == normalize("NFC", long)


def test_every_mark_of_unicode_is_looked_for():
    assert all(0x300 <= code < 0x1F000 for code in range(sys.maxunicode + 1) if combining(chr(code)))
    apart = {each: normalize("NFD", each) for each in map(chr, range(sys.maxunicode + 1)) if decomposition(each)}
    assert {each for each in apart if len(apart[each]) > 1 and all(map(combining, apart[each]))} == set(_DOUBLE)


def test_text_is_composed_after_lowering_too():
    rules = loaded('WHEN LOWER(message.content) == "\u01f0" THEN tag("x")')
    assert acts(rules, {"message.content": "J\u030c"}) == ["tag(('x',))"]
