"""Bring text into Unicode normalisation form C, at a cost that whoever wrote it cannot drive up.

Python puts combining marks into their order by exchanging neighbours: half a megabyte of them takes
minutes. So runs of more than MOST_MARKS get a COMBINING GRAPHEME JOINER between, which no mark passes and nobody
sees: the Stream-Safe Text Process (UAX #15, section 13). No language writes that many.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import combining, normalize

MOST_MARKS = 30
JOINER = "\u034f"
# These become two marks each before marks are ordered; the Tibetan vowel signs are none by their own class.
_DOUBLE = "\u0344\u0f73\u0f75\u0f81"
# Up to here the worst text takes a quarter of a millisecond, and most texts are not looked through.
SHORT = 256


def nfc(text: str) -> str:
    """`text` in NFC, in time linear in its length."""
    if text.isascii():
        return text
    return normalize("NFC", text if len(text) <= SHORT else _runs().sub(_parted, text))


@lru_cache(maxsize=1)
def _runs() -> re.Pattern[str]:
    """Runs that may have more marks than MOST_MARKS. Made when it is first needed: to ask for all marks takes 10 ms."""
    marks = _DOUBLE + "".join(chr(code) for code in range(0x300, 0x10000) if combining(chr(code)))
    # Beyond U+FFFF one range that holds them all: a set of many would make the search four times as slow.
    return re.compile(rf"[{marks}\U00010000-\U0001efff]{{{MOST_MARKS // 2 + 1},}}")


def _parted(run: re.Match[str]) -> str:
    parts: list[str] = []
    marks = 0
    for character in run[0]:
        weight = 2 if character in _DOUBLE else 1 if combining(character) else 0
        marks = marks + weight if weight else 0
        if marks > MOST_MARKS:
            parts.append(JOINER)
            marks = weight
        parts.append(character)
    return "".join(parts)
