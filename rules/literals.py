"""The literals that every match of a regular expression must hold.

A careful reader of a subset of RE2's syntax: where it is not sure it answers None, and the
index then serves the pattern without a literal. It never answers wrongly: a text without any of
the literals cannot match.
"""

from __future__ import annotations

import re

MIN_LITERAL = 3
_FLAGS = re.compile(r"\(\?([imsU]+)\)")
_REPEAT = re.compile(r"\{(\d+)(?:,\d*)?\}")
_PLAIN_ESCAPES = frozenset("dDsSwWbBAzntrfva")
_QUANTIFIERS = "*?+{"


def required_literals(pattern: str) -> tuple[list[list[str]], bool] | None:
    """For each alternative of the pattern the literals all of which its matches hold, longest
    first, and whether case is ignored (then they are ASCII and lower case). None if some
    alternative has no literal of MIN_LITERAL characters."""
    folded = False
    while flags := _FLAGS.match(pattern):
        folded = folded or "i" in flags[1]
        pattern = pattern[flags.end() :]
    branches = _Reader(pattern).branches()
    if branches is None:
        return None
    chosen = []
    for runs in branches:
        usable = [run.lower() for run in runs if run.isascii()] if folded else runs
        long = sorted({run for run in usable if len(run) >= MIN_LITERAL}, key=lambda run: (-len(run), run))
        if not long:
            return None
        chosen.append(long)
    return chosen, folded


class _Reader:
    """Collects runs of literal characters outside groups, by alternative."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._runs: list[str] = []
        self._run = ""

    def branches(self) -> list[list[str]] | None:
        found: list[list[str]] = []
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            if character == "|":
                self._break()
                found.append(self._runs)
                self._runs = []
                self._at += 1
            elif not self._step(character):
                return None
        self._break()
        return [*found, self._runs]

    def _step(self, character: str) -> bool:
        """Read one item with its quantifier; False if it is not understood."""
        literal, self._at = "", self._at + 1
        if character == "\\":
            literal = self._escape()
            if literal == "unsure":
                return False
        elif character == "[":
            return self._skip_class() and self._quantify("")
        elif character == "(":
            return self._skip_group() and self._quantify("")
        elif character not in ".^$":
            if character in _QUANTIFIERS or character in ")]}":
                return False
            literal = character
        return self._quantify(literal)

    def _escape(self) -> str:
        character = self._pattern[self._at : self._at + 1]
        self._at += 1
        if character in _PLAIN_ESCAPES:
            return ""
        return "unsure" if character.isalnum() or not character else character

    def _quantify(self, literal: str) -> bool:
        """Take the quantifier after an item, and keep the literal if it must occur."""
        mark = self._pattern[self._at : self._at + 1]
        if not mark or mark not in _QUANTIFIERS:
            if literal:
                self._run += literal
            else:
                self._break()
            return True
        needed = mark == "+"
        self._at += 1
        if mark == "{":
            repeat = _REPEAT.match(self._pattern, self._at - 1)
            if repeat is None:
                return False
            needed, self._at = int(repeat[1]) > 0, repeat.end()
        if self._pattern[self._at : self._at + 1] == "?":
            self._at += 1
        if needed:
            self._run += literal
        self._break()
        return True

    def _break(self) -> None:
        if self._run:
            self._runs.append(self._run)
        self._run = ""

    def _skip_class(self) -> bool:
        self._break()
        if self._pattern[self._at : self._at + 1] == "^":
            self._at += 1
        if self._pattern[self._at : self._at + 1] == "]":
            self._at += 1
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            self._at += 2 if character == "\\" else 1
            if character == "]":
                return True
            if character == "[" and self._pattern[self._at : self._at + 1] == ":":
                close = self._pattern.find(":]", self._at)
                if close < 0:
                    return False
                self._at = close + 2
        return False

    def _skip_group(self) -> bool:
        self._break()
        opening = self._pattern[self._at : self._at + 3]
        if opening.startswith("?") and not opening.startswith(("?:", "?P<")):
            return False
        depth = 1
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            self._at += 1
            if character == "\\":
                if self._pattern[self._at : self._at + 1] in ("Q", ""):
                    return False
                self._at += 1
            elif character == "[":
                if not self._skip_class():
                    return False
            elif character in "()":
                depth += 1 if character == "(" else -1
                if depth == 0:
                    return True
        return False
