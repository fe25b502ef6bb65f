"""The model that answers out of the operator's own Markdown file: every heading a question, its text the answer.

Ranked by SQLite FTS5's bm25 in a database in memory, read once when the model is built; a reload
of the configuration reads the file again. A file of a hundred short answers is asked at once, in some 0.2 ms; a longer
one in a thread, as whatever shares a common word is ranked: a megabyte takes 30 ms.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from itertools import islice
from pathlib import Path
from typing import ClassVar

import trio
from msgspec import Struct

from gateway.errors import SettingError, unreadable
from gateway.plainfile import read_plain_text
from gateway.ports import Kit, ModelAnswer, ModelCall

_WORD = re.compile(r"\w+")
_HEADING = re.compile(r"#{1,6}[ \t]+(.+)")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
# Chinese and Japanese, which put no blanks between words.
_UNSPACED = re.compile("[\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
# What a question is about stands in its first words; those of a whole page would only slow the ranking.
MOST_WORDS = 32
# Which of the answers is meant, these words do not tell: with them, "What is love?" was asked like "What is this?".
COMMON = frozenset(
    _WORD.findall(
        "a an and are as at be been but by can could did do does for from had has have how i if in is it its me my of "
        "on or our please s shall should so t than that the their them then there these they this those to us was we "
        "were what when where which who why will with would you your"
    )
)
MOST_CHARACTERS = 4000
# Ranking so many characters, each word of them asked for, takes one or two milliseconds of the loop.
MOST_AT_ONCE = 20_000
# A 10 MB file is 200,000 questions; beyond that this is not the right tool.
MOST_BYTES = 10_000_000


class Settings(Struct, frozen=True, kw_only=True):
    """`file` is the Markdown file, relative to oclaw.toml; `unknown` is said when nothing in it fits."""

    FILES: ClassVar = ("file",)
    file: str
    unknown: str = "I do not know the answer to that."


class Faq:
    """The file's entries, indexed. Built in any thread (a reload builds beside the loop), asked in the loop's."""

    def __init__(self, entries: list[tuple[str, str]], unknown: str) -> None:
        self._answers, self._unknown = [answer for _, answer in entries], unknown
        self._short = sum(len(question) + len(answer) for question, answer in entries) <= MOST_AT_ONCE
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute(
            "CREATE VIRTUAL TABLE faq USING fts5(question, answer, content='', tokenize='porter unicode61')"
        )
        rows = ((at, spread(question), spread(answer)) for at, (question, answer) in enumerate(entries))
        self._index.executemany("INSERT INTO faq (rowid, question, answer) VALUES (?, ?, ?)", rows)
        # One query at a time: the threads of other work are not for one long file.
        self._thread = trio.CapacityLimiter(1)

    def answer(self, call: ModelCall) -> ModelAnswer | Awaitable[ModelAnswer]:
        """Return the best entry's text, or the configured words when no entry shares a word with the question."""
        query = query_of(call.turns[-1].text if call.turns else "")
        if self._short:
            return self._best(query)
        return trio.to_thread.run_sync(self._best, query, limiter=self._thread)

    async def stream(self, call: ModelCall) -> AsyncIterator[str]:
        """Give the answer line by line."""
        answer = self.answer(call)
        whole = answer if isinstance(answer, ModelAnswer) else await answer
        for line in whole.text.splitlines(keepends=True):
            yield line

    def _best(self, query: str) -> ModelAnswer:
        if not query:
            return ModelAnswer(text=self._unknown)
        # The heading is what people ask in: it weighs five times the text below it.
        row = self._index.execute(
            "SELECT rowid FROM faq WHERE faq MATCH ? ORDER BY bm25(faq, 5.0, 1.0) LIMIT 1", (query,)
        ).fetchone()
        return ModelAnswer(text=self._answers[row[0]] if row else self._unknown)


def build(name: str, settings: Settings, kit: Kit) -> Faq:
    """Read the file and index it; raises `SettingError` when it cannot be used."""
    path = Path(kit.config_dir) / settings.file
    place = f"models.{name}.file"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SettingError(place, found=f"{path}, too large", wanted=f"at most {MOST_BYTES:,} bytes")
        entries = entries_of(read_plain_text(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(place, found=f"{path}, {unreadable(error)}", wanted="a Markdown file in UTF-8") from error
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


def spread(text: str) -> str:
    """Put blanks into Chinese and Japanese, so that each character is a word, and each with its neighbour."""
    return _UNSPACED.sub(lambda run: f" {' '.join((*run[0], *_pairs(run[0])))} ", text)


def query_of(heard: str) -> str:
    """Write the query for whatever shares a word with what was heard; '' when there is no word in it.

    The common words of English count only where there is no other one.
    """
    spaced = _UNSPACED.sub(lambda run: f" {' '.join(_pairs(run[0]) or run[0])} ", heard[:MOST_CHARACTERS].lower())
    words = [found[0] for found in islice(_WORD.finditer(spaced), MOST_WORDS)]
    telling = [word for word in words if word not in COMMON]
    return " OR ".join(f'"{word}"' for word in telling or words)


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]
