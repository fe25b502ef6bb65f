"""Stop or mask messages that hold a word of the operator's list, in one pass however long the list is.

Case does not count (Unicode case folding: ß is ss), nor does the normal form. The file has one
word or phrase a line; empty lines and lines that begin with # are skipped. A reload of the
configuration builds the hook again and so reads the file again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from gateway.errors import Reject, SettingError, unreadable
from gateway.message.draft import Draft
from gateway.message.message import nfc
from gateway.plainfile import read_plain_text

if TYPE_CHECKING:
    from gateway.ports import Kit


class Settings(Struct, frozen=True, kw_only=True):
    """`words_file` is relative to oclaw.toml. `whole_words` spares "class" where "ass" is listed; not for Chinese."""

    FILES: ClassVar = ("words_file",)
    words_file: str
    action: Literal["reject", "mask"] = "reject"
    mask: Annotated[str, Meta(min_length=1, max_length=1)] = "*"
    whole_words: bool = False


def build(settings: Settings, kit: Kit) -> Callable[[Draft], None]:
    """Read the list and return the hook. Raises `SettingError` when the file cannot be used."""
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for word in _words(Path(kit.config_dir) / settings.words_file):
        folded = nfc(word).casefold()
        automaton.add_word(folded, len(folded))
    automaton.make_automaton()
    find = _Finder(automaton, whole_words=settings.whole_words)

    def reject(message: Draft) -> None:
        if find.spans(message.content):
            raise Reject("holds a word of the list of sensitive words")

    def mask(message: Draft) -> None:
        spans = find.spans(message.content)
        if spans:
            message.content = _masked(message.content, spans, settings.mask)

    return reject if settings.action == "reject" else mask


def _words(path: Path) -> list[str]:
    wanted = "a text file in UTF-8 with one word a line"
    try:
        lines = read_plain_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError("words_file", found=f"{path}, {unreadable(error)}", wanted=wanted) from error
    words = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not words:
        raise SettingError("words_file", found=f"{path}, in which no word stands", wanted=wanted)
    return words


class _Finder:
    """Where listed words stand in a text, by its own positions."""

    def __init__(self, automaton: Any, *, whole_words: bool) -> None:
        self._find, self._whole_words = automaton.iter, whole_words

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return first and last position (exclusive) of every match, in no order; they may overlap."""
        folded = text.casefold()
        found = [(last + 1 - length, last + 1) for last, length in self._find(folded)]
        if self._whole_words:
            found = [span for span in found if _stands_alone(folded, *span)]
        if not found or len(folded) == len(text):
            return found
        # A few characters fold to several (ß, ﬁ): then positions must be taken back to the text's own.
        places = [place for place, character in enumerate(text) for _ in character.casefold()]
        return [(places[first], places[last - 1] + 1) for first, last in found]


def _stands_alone(text: str, first: int, last: int) -> bool:
    return not (text[first - 1 : first].isalnum() or text[last : last + 1].isalnum())


def _masked(text: str, spans: list[tuple[int, int]], mask: str) -> str:
    characters = list(text)
    for first, last in spans:
        characters[first:last] = [mask if not c.isspace() else c for c in characters[first:last]]
    return "".join(characters)
