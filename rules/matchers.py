"""The tests that need more than an operator: regular expressions, many words, time windows.

Each function returns a callable that is bound as a constant into generated code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, tzinfo
from math import isfinite
from typing import Any  # pyahocorasick and google-re2 are untyped

_WEEK = 7 * 1440
_THURSDAY = 3 * 1440  # on which the epoch began
# Below this many words a loop over `in` beats building and walking an automaton.
AUTOMATON_WORDS = 12


@functools.lru_cache(maxsize=4096)
def pattern_search(pattern: str) -> Callable[[str], bool]:
    """Whether RE2 finds `pattern` anywhere in a text; in time linear in the text."""
    import re2

    options = re2.Options()
    options.log_errors = False
    # Captures cost RE2 its fastest engine and a condition has no use for them.
    options.never_capture = True
    search = re2.compile(pattern, options).search

    def found(text: str) -> bool:
        # RE2 speaks UTF-8; a lone surrogate (half an emoji, cut by a platform) has no UTF-8.
        try:
            return search(text) is not None
        except UnicodeEncodeError:
            return search(text.encode("utf-8", "replace").decode()) is not None

    return found


def any_pattern(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether one of the patterns is found."""
    searches = [pattern_search(pattern) for pattern in patterns]
    if len(searches) == 1:
        return searches[0]
    return lambda text: any(search(text) for search in searches)


def any_word(words: tuple[str, ...]) -> Callable[[Any], bool]:
    """Whether one of the words is in a text, or in a tuple of texts."""
    if len(words) < AUTOMATON_WORDS:
        return lambda value: any(word in value for word in words)
    members, automaton, empty = frozenset(words), word_automaton(words), "" in words

    def found(value: Any) -> bool:
        if value.__class__ is tuple:
            return not members.isdisjoint(value)
        return empty or next(automaton.iter(value), None) is not None

    return found


def word_automaton(words: Any) -> Any:
    """An Aho-Corasick automaton whose hits are the words themselves; "" is left out."""
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for word in words:
        if word:
            automaton.add_word(word, word)
    automaton.make_automaton()
    return automaton


def minute_of_week(zone: tzinfo, moment: float) -> int:
    """Minutes since Monday 00:00 in `zone`; in UTC at a moment that its calendar does not have."""
    try:
        local = datetime.fromtimestamp(moment, zone)
    except (OverflowError, ValueError, OSError):  # beyond the years 1 to 9999, whoever asked for it
        return (int(moment // 60) + _THURSDAY) % _WEEK if isfinite(moment) else 0
    return local.weekday() * 1440 + local.hour * 60 + local.minute
