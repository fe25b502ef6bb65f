"""What is wrong with a rule file, said so that the person who wrote it can mend it.

A `Problem` names the place, shows the line with a caret under the span, and says what was
found, what would fit and, where one is near, what was probably meant. Problems are values:
loading returns all of them together and raises nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

# A line of machine-made text may be a megabyte long; a terminal shows this much around the caret.
SHOWN_COLUMNS = 100


class Problem(msgspec.Struct, frozen=True):
    """One mistake: `line` and `column` count from 1, `width` is the length of the caret."""

    file: str
    line: int
    column: int
    width: int
    source: str
    message: str
    hint: str = ""

    def render(self) -> str:
        """The place, the line, the caret and the way out, as a few lines of text."""
        number = str(self.line)
        gutter = " " * len(number)
        source, column = _window(self.source, self.column)
        caret = "^" * max(1, min(self.width, len(source) - column + 1))
        lead = "".join("\t" if character == "\t" else " " for character in source[: column - 1])
        shown = [
            f"{self.file}:{self.line}:{self.column}: {self.message}",
            f" {number} | {source}",
            f" {gutter} | {lead}{caret}",
        ]
        if self.hint:
            shown.append(f" {gutter} = {self.hint}")
        return "\n".join(shown)


class Rejected(msgspec.Struct, frozen=True):
    """The files do not make a ruleset; every problem found in any of them, in file order."""

    problems: tuple[Problem, ...]

    def render(self) -> str:
        return "\n".join(problem.render() for problem in self.problems)


class Unavailable(Exception):
    """A loader could not give what a rule asked for: a FILE list or a time zone."""


def problem_at(file: str, text: str, start: int, end: int, message: str, hint: str = "") -> Problem:
    """A problem about `text[start:end]`, with its line and column worked out."""
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    return Problem(
        file=file,
        line=text.count("\n", 0, start) + 1,
        column=start - line_start + 1,
        width=max(1, min(end, line_end) - start),
        source=text[line_start:line_end].rstrip("\r"),
        message=message,
        hint=hint,
    )


def meant(word: str, known: Iterable[str]) -> str:
    """ "did you mean …?" when something known is near `word`, else the empty string."""
    import difflib

    close = difflib.get_close_matches(word, sorted(known)[:2000], n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""


def _window(source: str, column: int) -> tuple[str, int]:
    """The part of an overlong line around `column`, and the column inside that part."""
    if len(source) <= SHOWN_COLUMNS * 2:
        return source, column
    first = max(0, column - 1 - SHOWN_COLUMNS // 2)
    return source[first : first + SHOWN_COLUMNS], column - first
