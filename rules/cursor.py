"""Walk over the tokens of one file, and say what is wrong at the current one.

The cursor holds one token of lookahead; the parsers in `conditions.py` and `parser.py` read it
and move on. A `Mistake` leaves the statement; `parser.py` turns it into a problem
before it goes on at the next statement.
"""

from __future__ import annotations

from rules.errors import meant
from rules.tokens import KEYWORDS, TOKEN, is_halved, unquote

_SHOWN_TOKEN = 40


class Mistake(Exception):
    """The text from `start` to `end` is not what the grammar wants there."""

    def __init__(self, start: int, end: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.start, self.end, self.message, self.hint = start, end, message, hint


class Cursor:
    """The current token: `kind`, `value`, `word` (upper case, for names), `start`, `end`.

    `last` is where the token before it ended, `depth` how deep conditions nest here.
    """

    __slots__ = ("_tokens", "depth", "end", "kind", "last", "start", "text", "value", "word")

    def __init__(self, text: str, start: int = 0, stop: int | None = None) -> None:
        self.text = text
        self._tokens = TOKEN.finditer(text, start, len(text) if stop is None else stop)
        self.start = self.end = self.last = start
        self.depth = 0
        self.advance()

    def advance(self) -> None:
        """Move to the next token; at the end of the text the cursor stays there."""
        match = next(self._tokens, None)
        if match is None:
            return
        self.last = self.end
        kind = match.lastgroup
        assert kind is not None
        self.kind = kind
        self.start, self.end = match.span(kind)
        self.value = value = match[kind]
        self.word = value.upper() if kind == "name" else value

    def take(self, word: str) -> bool:
        """Move past the keyword or sign `word` if it stands here."""
        if self.word != word:
            return False
        self.advance()
        return True

    def precedes(self, sign: str) -> bool:
        """Whether `sign` is the token behind the current one."""
        match = TOKEN.match(self.text, self.end)
        return match is not None and match[match.lastgroup or 0] == sign

    def want(self, word: str, instead_of: str = "") -> None:
        """Move past `word`, or fail naming it."""
        if self.word != word:
            raise self.mistake(instead_of or f"`{word}`")
        self.advance()

    def string(self, purpose: str) -> str:
        """Move past a string and return its text."""
        if self.kind != "string":
            raise self.mistake(f"{purpose} in double quotes")
        text = self.unquoted()
        self.advance()
        return text

    def unquoted(self) -> str:
        """The text of the string that stands here. Raises `Mistake` for half of a character."""
        text = unquote(self.value)
        if is_halved(text):
            hint = 'a character beyond \\uFFFF is written as itself or as two escapes: "\\ud83d\\ude00"'
            raise Mistake(self.start, self.end, "this string holds half of a character", hint)
        return text

    def name(self, purpose: str) -> str:
        """Move past a plain name (no dots, no keyword) and return it."""
        if self.kind != "name" or "." in self.value or self.word in KEYWORDS:
            raise self.mistake(purpose)
        text = self.value
        self.advance()
        return text

    def shown(self) -> str:
        """The current token as a message quotes it."""
        if self.kind == "end":
            return "the end of the file"
        token = self.value if len(self.value) <= _SHOWN_TOKEN else self.value[:_SHOWN_TOKEN] + "…"
        return f"`{token}`"

    def mistake(self, wanted: str, hint: str = "", *, keywords: tuple[str, ...] = ()) -> Mistake:
        """What to raise here: found the current token, wanted something else."""
        if self.kind == "broken":
            return self._broken()
        if self.kind == "end":
            # The caret stands behind the last token, not on the empty lines after it.
            return Mistake(self.last, self.last + 1, f"found {self.shown()}, wanted {wanted}", hint)
        if not hint and self.kind == "name":
            hint = meant(self.word, keywords)
        if not hint and self.text[self.start - 1 : self.start] == '"':
            hint = "is a closing quote missing earlier in this line?"
        return Mistake(self.start, self.end, f"found {self.shown()}, wanted {wanted}", hint)

    def _broken(self) -> Mistake:
        first, start = self.value[0], self.start
        if first == '"':
            return Mistake(start, self.end, "this string has no end", 'close it with " on the same line')
        if first in "'“”‘’":
            return Mistake(start, start + 1, f"found {first}", 'text stands in plain double quotes: "…"')
        if first == "/":
            hint = "close it with / on the same line; a slash inside is written \\/"
            return Mistake(start, self.end, "this regular expression has no end", hint)
        if first.isdigit():
            hint = "durations end in ms, s, m, h or d, sizes in KB or MB"
            return Mistake(start, self.end, f"found {self.shown()}, which is no number", hint)
        hint = {"&": "write AND", "|": "write OR", "!": "write NOT"}.get(first, "")
        shown = first if first.isprintable() else f"U+{ord(first):04X}"
        return Mistake(start, start + 1, f"found `{shown}`, which has no meaning here", hint)
