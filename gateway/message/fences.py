"""Find the fenced code blocks of a Markdown text (CommonMark 0.31, section 4.5). Pure."""

from __future__ import annotations

import re

from msgspec import Struct

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})([^\r\n]*)\r?$", re.MULTILINE)


class Fence(Struct, frozen=True):
    """One block. Its text stands from `inside` to `end`; its lines with the fences from `start` to `after`.

    A block that is never closed goes to the end of the text: then `end` and `after` are its length.
    """

    start: int
    inside: int
    end: int
    after: int
    opening: str
    closing: str

    @property
    def frame(self) -> str:
        """What cutting the block once writes besides its text."""
        return self.opening + self.closing

    def lines(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the spans that must not be cut: the opening line with what follows first, the closing line."""
        return (self.start, self.inside + 1), (self.end, self.after)


def find_fences(text: str) -> list[Fence]:
    """Return the blocks in order. Fences in quotations and lists are text like any other."""
    if "```" not in text and "~~~" not in text:
        return []
    found: list[Fence] = []
    opening: re.Match[str] | None = None
    for line in _FENCE.finditer(text):
        if opening is None:
            # A backtick in the rest of the line makes it inline code.
            opening = None if line[2][0] == "`" and "`" in line[3] else line
        elif _closes(line, opening):
            found.append(_fence(text, opening, line.start(), line.end()))
            opening = None
    if opening is not None:
        found.append(_fence(text, opening, len(text), len(text)))
    return found


def _closes(line: re.Match[str], opening: re.Match[str]) -> bool:
    return line[2][0] == opening[2][0] and len(line[2]) >= len(opening[2]) and not line[3].strip()


def _fence(text: str, opening: re.Match[str], end: int, after: int) -> Fence:
    inside = min(opening.end() + 1, len(text))
    indent, marker, rest = opening[1], opening[2], opening[3]
    return Fence(opening.start(), inside, end, after, f"{indent}{marker}{rest.rstrip()}\n", f"\n{indent}{marker}")
