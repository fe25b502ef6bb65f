"""Split a text into pieces that a platform takes, where a reader would turn the page.

Between paragraphs, else lines, else words, else anywhere; never inside a grapheme cluster (what
a reader sees as one character), a token the channel names (a mention), or the line that opens or
closes a code fence. A fence that must be cut is closed and opened again with its info string.
Nothing is lost but the whitespace at a cut. Pure, and costs nothing for a text that fits.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from typing import Literal, assert_never

from msgspec import Struct

from gateway.message.fences import Fence, find_fences

Unit = Literal["points", "utf16", "bytes"]

_WHITE = re.compile(r"[ \t\r\n]+")
# Chinese and Japanese put no space between sentences: behind their punctuation is as good as a space.
_STOP = re.compile("[。！？；，、]+[」』）】”’]*(?=.)", re.DOTALL)
# What begins a grapheme cluster behind white space or punctuation, by its general category: all letters but two vowels
# of Thai and Lao, digits, symbols and punctuation.
_ALONE = frozenset(("Lu", "Ll", "Lt", "Lo", "Nd", "So", "Sm", "Sc", "Po", "Ps", "Pe", "Pi", "Pf", "Pd"))
_THAI_AND_LAO_AM = "\u0e33\u0eb3"
_FLAG_HALVES = "".join(map(chr, range(0x1F1E6, 0x1F200)))
# Clusters are looked for in so many code points before a hard cut; nobody reads one that is longer.
_NEAR = 512


class Cut(Struct, frozen=True):
    """A place to cut: the piece ends at `at`, the next begins at `resume`. A lower `rank` reads better."""

    at: int
    resume: int
    rank: int


def chunk(text: str, limit: int, unit: Unit = "points", *, tokens: re.Pattern[str] | None = None) -> tuple[str, ...]:
    """Return `text` in pieces of at most `limit` units each; a limit of 0 means none.

    What `tokens` matches is kept whole where it fits into a piece. A single grapheme cluster beyond the limit is
    cut between code points, and a single code point beyond it stands alone.
    """
    if limit <= 0 or size(text, unit) <= limit:
        return (text,)
    return tuple(piece for piece in _Splitter(text, limit, unit, tokens).pieces() if piece.strip())


def size(text: str, unit: Unit) -> int:
    """Measure a text in code points, UTF-16 code units or UTF-8 bytes."""
    match unit:
        case "points":
            return len(text)
        case "utf16":
            return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
        case "bytes":
            return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        case never:
            assert_never(never)


class _Splitter:
    """One text on its way into pieces; what is known about it before the first cut."""

    def __init__(self, text: str, limit: int, unit: Unit, tokens: re.Pattern[str] | None) -> None:
        self._text, self._limit, self._unit = text, limit, unit
        # Closing and opening again takes at most half of a piece, else a fence is text like any other.
        self._fences = [fence for fence in find_fences(text) if size(fence.frame, unit) <= limit // 2]
        self._fence_starts = [fence.start for fence in self._fences]
        whole = [span for fence in self._fences for span in fence.lines()]
        whole += [found.span() for found in tokens.finditer(text)] if tokens else []
        self._whole = _merged(whole)
        self._whole_starts = [first for first, _ in self._whole]
        self._cuts = self._find_cuts()
        self._places = [cut.at for cut in self._cuts]

    def pieces(self) -> list[str]:
        made, start, opening = [], 0, ""
        while self._reach(start, self._limit - size(opening, self._unit)) < len(self._text):
            cut, closing = self._next_cut(start, opening)
            made.append(opening + self._text[start : cut.at] + closing)
            start, opening = self._resume(cut.resume) if closing else (cut.resume, "")
        return [*made, opening + self._text[start:]] if start < len(self._text) else made

    def _next_cut(self, start: int, opening: str) -> tuple[Cut, str]:
        """Choose the cut after `start`, and what must be written behind the piece to close its fence."""
        room, closing = self._limit - size(opening, self._unit), ""
        while True:
            cut = self._choose(start, self._reach(start, room - size(closing, self._unit)))
            fence = self._fence_around(cut.at)
            needed = "" if fence is None else fence.closing
            if size(needed, self._unit) <= size(closing, self._unit):
                return cut, needed
            closing = needed

    def _fence_around(self, at: int) -> Fence | None:
        """Return the block whose text a cut at `at` parts."""
        index = bisect_right(self._fence_starts, at) - 1
        fence = self._fences[index] if index >= 0 else None
        return fence if fence is not None and fence.inside <= at <= fence.end else None

    def _resume(self, at: int) -> tuple[int, str]:
        """Go on behind a cut inside a fence: open it again, or step over a closing line that was just written."""
        fence = self._fences[bisect_left(self._fence_starts, at) - 1]
        if at < fence.end:
            return at, fence.opening
        white = _WHITE.match(self._text, fence.after)
        return (_behind(white) if white else fence.after), ""

    def _choose(self, start: int, end: int) -> Cut:
        """Take the best cut in the second half, else the best in the first, else cut hard."""
        cuts = self._cuts[bisect_right(self._places, start) : bisect_right(self._places, end)]
        if not cuts:
            at = self._hard(start, end)
            return Cut(at, at, 0)
        middle = (start + end) // 2
        return min(cuts, key=lambda cut: (cut.at < middle, cut.rank, -cut.at))

    def _hard(self, start: int, end: int) -> int:
        outside = self._outside(end)
        end = outside if outside > start else end
        if self._text[start : end + 1].isascii():
            return end - 1 if self._text[end - 1 : end + 1] == "\r\n" and end - 1 > start else end
        border = _cluster_border(self._text, start, end)
        return border if border > start else end

    def _outside(self, at: int) -> int:
        """Return `at`, or the start of what must stay whole around it."""
        index = bisect_left(self._whole_starts, at) - 1
        if index >= 0 and at < self._whole[index][1]:
            return self._whole[index][0]
        return at

    def _reach(self, start: int, room: int) -> int:
        """Return how far a piece from `start` may go: `room` units, and at least one code point."""
        text = self._text[start : start + room]
        match self._unit:
            case "points":
                fits = len(text)
            case "utf16":
                fits = len(text.encode("utf-16-le", "surrogatepass")[: room * 2].decode("utf-16-le", "ignore"))
            case "bytes":
                fits = len(text.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore"))
            case never:
                assert_never(never)
        return start + max(fits, 1)

    def _find_cuts(self) -> list[Cut]:
        cuts = [self._cut_at(white) for white in _WHITE.finditer(self._text) if self._parts(white)]
        cuts += [Cut(stop.end(), stop.end(), 4) for stop in _STOP.finditer(self._text) if self._parts(stop)]
        return sorted((cut for cut in cuts if self._outside(cut.at) == cut.at), key=lambda cut: cut.at)

    def _parts(self, found: re.Match[str]) -> bool:
        """Tell whether what follows is a cluster of its own and not, say, an accent on the last space."""
        end = found.end()
        return _begins_cluster(self._text[end : end + 1]) or _cluster_border(self._text, end - 1, end) == end

    def _cut_at(self, white: re.Match[str]) -> Cut:
        lines = white[0].count("\n")
        if not lines:
            return Cut(white.start(), white.end(), 4)
        inside = self._fence_around(white.start()) is not None
        return Cut(white.start(), _behind(white), (0 if lines > 1 else 1) + (2 if inside else 0))


def _behind(white: re.Match[str]) -> int:
    """Return where the text goes on after whitespace: a new line keeps its indentation."""
    return white.start() + white[0].rfind("\n") + 1 if "\n" in white[0] else white.end()


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort spans, with those that overlap made one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first < merged[-1][1]:
            first, last = merged[-1][0], max(last, merged.pop()[1])
        merged.append((first, last))
    return merged


def _begins_cluster(character: str) -> bool:
    """Tell whether this, or the end of the text, surely joins nothing before it; of a few it takes UAX 29 to say."""
    return character.isascii() or (unicodedata.category(character) in _ALONE and character not in _THAI_AND_LAO_AM)


def _cluster_border(text: str, start: int, end: int) -> int:
    """Return the last border between grapheme clusters (UAX 29) up to `end`, or `start` where there is none."""
    near = max(start, end - _NEAR)
    # Flags are pairs, and in a row of them only its beginning tells which two are one.
    row = near - start - len(text[start:near].rstrip(_FLAG_HALVES))
    near -= row % 2
    border = _border_behind(text, near, end)
    return border if border > near or near == start else _border_behind(text, start, end)


def _border_behind(text: str, start: int, end: int) -> int:
    import regex  # 16 ms of CPU, and only texts beyond the limit in other than Latin letters need it

    border = start
    for cluster in regex.finditer(r"\X", text[start : end + 64]):
        if start + cluster.end() > end:
            break
        border = start + cluster.end()
    return border
