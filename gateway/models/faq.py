"""The model that answers out of the operator's own Markdown file: every heading a question, its text the answer.

Ranked by SQLite FTS5's bm25 in a database in memory, read once when the model is built; a reload
of the configuration reads the file again. Answers at once: a query costs some 50 µs.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec import Struct

from gateway.errors import SettingError
from gateway.ports import Kit, ModelAnswer, ModelCall

_WORD = re.compile(r"\w+")
_HEADING = re.compile(r"#{1,6}[ \t]+(.+)")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
# Words of a query that decide nothing in any of the languages we ship examples for would only slow the ranking.
MOST_WORDS = 32
# A 10 MB file is 200,000 questions; beyond that this is not the right tool.
MOST_BYTES = 10_000_000


class Settings(Struct, frozen=True, kw_only=True):
    """`file` is the Markdown file, relative to oclaw.toml; `unknown` is said when nothing in it fits."""

    file: str
    unknown: str = "I do not know the answer to that."


class Faq:
    """The file's entries, indexed. Built in any thread (a reload builds beside the loop), asked in the loop's."""

    def __init__(self, entries: list[tuple[str, str]], unknown: str) -> None:
        self._unknown = unknown
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute("CREATE VIRTUAL TABLE faq USING fts5(question, answer, tokenize='porter unicode61')")
        self._index.executemany("INSERT INTO faq VALUES (?, ?)", entries)

    def answer(self, call: ModelCall) -> ModelAnswer:
        """Return the best entry's text, or the configured words when no entry shares a word with the question."""
        heard = call.turns[-1].text if call.turns else ""
        words = _WORD.findall(heard.lower())[:MOST_WORDS]
        if not words:
            return ModelAnswer(text=self._unknown)
        query = " OR ".join(f'"{word}"' for word in words)
        # The heading is what people ask in: it weighs five times the text below it.
        row = self._index.execute(
            "SELECT answer FROM faq WHERE faq MATCH ? ORDER BY bm25(faq, 5.0, 1.0) LIMIT 1", (query,)
        ).fetchone()
        return ModelAnswer(text=row[0] if row else self._unknown)

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        """Give the answer line by line."""
        for line in self.answer(call).text.splitlines(keepends=True):
            yield line


def build(name: str, settings: Settings, kit: Kit) -> Faq:
    """Read the file and index it; raises `SettingError` when it cannot be used."""
    path = Path(kit.config_dir) / settings.file
    place = f"models.{name}.file"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SettingError(place, found=f"{path}, too large", wanted=f"at most {MOST_BYTES:,} bytes")
        entries = entries_of(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(place, found=f"{path}, not readable ({error})", wanted="a Markdown file in UTF-8") from error
    if not entries:
        raise SettingError(place, found=f"{path}, without entries", wanted="headings with text below them")
    return Faq(entries, settings.unknown)


def entries_of(markdown: str) -> list[tuple[str, str]]:
    """Cut Markdown into (heading, text) pairs; headings with nothing below them are left out."""
    pairs: list[tuple[str, list[str]]] = []
    fence = ""
    for line in markdown.splitlines(keepends=True):
        # In a block of code a # begins a comment, and no question.
        if mark := _FENCE.match(line):
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        heading = None if fence else _HEADING.match(line)
        if heading is not None:
            pairs.append((heading[1].strip().rstrip("#").rstrip(), []))
        elif pairs:
            pairs[-1][1].append(line)
    return [(question, answer) for question, lines in pairs if question and (answer := "".join(lines).strip())]
